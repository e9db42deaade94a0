"""A persistent compilation cache: what XLA compiled once, no later process compiles again.

The folder is `xla` in the user's cache folder for dptoolkit. `DPTOOLKIT_CACHE=FOLDER` puts it elsewhere,
`DPTOOLKIT_NO_CACHE=1` switches it off, and a folder set for JAX itself (`JAX_COMPILATION_CACHE_DIR`) wins.
"""

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_dir

SHORTEST_COMPILE = 0.02
"""[s]: what compiles faster is not kept."""


def cache_folder() -> Path | None:
    """Where compiled programs are kept; None if the cache is switched off."""
    if os.environ.get("DPTOOLKIT_NO_CACHE", "0") not in ("", "0"):
        return None
    return Path(os.environ.get("DPTOOLKIT_CACHE") or user_cache_dir("dptoolkit")) / "xla"


def enable_compilation_cache() -> Path | None:
    """Keep compiled programs on disk; the folder, or None where there is none to write to."""
    import jax

    chosen = jax.config.values.get("jax_compilation_cache_dir")
    if chosen:
        return Path(chosen)
    folder = cache_folder()
    if folder is None or not _is_writable(folder):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_COMPILE)
    return folder


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
