"""Every test runs in double precision with checked shapes, but not yet with strict promotion of types."""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

# before JAX is imported; subprocesses inherit it
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"dptoolkit-tests-{os.getuid()}")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jax
import pytest
from jaxtyping import install_import_hook

import tests.checked  # noqa: F401  the hook finds it by name

jax.config.update("jax_numpy_dtype_promotion", "standard")
_PACKAGE = Path(__file__).parents[1] / "dptoolkit"
_UNCHECKED = ("__init__", "__main__")
_CHECKED = [
    ".".join(file.relative_to(_PACKAGE.parent).with_suffix("").parts)
    for file in _PACKAGE.rglob("*.py")
    if file.stem not in _UNCHECKED
]
install_import_hook(_CHECKED, "tests.checked.checked")

from dptoolkit.config import load_detector  # noqa: E402
from dptoolkit.detector import LArTPC  # noqa: E402

MAPS, MOST_MAPS = Path("/proc/self/maps"), 25_000
"""Memory maps of this process; Linux gives 65 530 at most, and every compiled function takes some."""


RESIDENT, MOST_RESIDENT = Path("/proc/self/statm"), 4 * 2**30
"""Memory of this process (second number, in pages), and how much is kept from module to module [bytes]."""


@pytest.fixture(scope="module", autouse=True)
def _compiled_functions_are_dropped_before_maps_or_memory_run_out() -> Iterator[None]:
    yield
    if not MAPS.exists():
        return
    resident = int(RESIDENT.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if MAPS.read_bytes().count(b"\n") > MOST_MAPS or resident > MOST_RESIDENT:
        jax.clear_caches()
        gc.collect()


DATA = Path(os.environ.get("DPTOOLKIT_DATA", Path(__file__).parents[1] / "../shared/data")).resolve()


@pytest.fixture(scope="session")
def data() -> Path:
    """Inputs and references made by other programs; they are no part of the project."""
    if not DATA.is_dir():
        pytest.skip(f"no reference data in {DATA} (set DPTOOLKIT_DATA)")
    return DATA


@pytest.fixture(scope="session")
def named() -> Callable[[str], LArTPC]:
    """The named detector; each is built once."""
    return cache(load_detector)


@pytest.fixture(scope="session")
def small_wire(named: Callable[[str], LArTPC]) -> LArTPC:
    return named("small-wire")


@pytest.fixture(scope="session")
def small_pixel(named: Callable[[str], LArTPC]) -> LArTPC:
    return named("small-pixel")
