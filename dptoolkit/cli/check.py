"""`doctor` and `bench`: does it work here, and how fast."""

import os
from enum import StrEnum
from typing import Annotated, Any

import typer

from dptoolkit.cli.output import as_json, busy, show_table
from dptoolkit.cli.shell import INTERNAL, emit, say

Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
THREADS = 2
"""Cores that a benchmark may use."""
KEYS = ("case", "cpu_s", "wall_s", "compile_s", "peak_mb", "floor", "ratio")


class Benchmark(StrEnum):
    """What can be measured."""

    CHARGE = "charge"
    FIELD = "field"
    INFERENCE = "inference"
    LIGHT = "light"


def doctor(json: Json = False) -> None:
    """Check this installation: versions, devices, precision, cache, and a short self-check.

    Exit code 1 if a check fails.
    """
    from dptoolkit.cache import enable_compilation_cache
    from dptoolkit.cli import diagnosis

    cache = enable_compilation_cache()
    with busy("checking"):
        found = diagnosis.diagnose(cache)
    if json:
        emit(as_json("doctor", found))
    else:
        _show(found)
    if not found["ok"]:
        say("dptoolkit doctor: a self-check failed; report it with the output of 'dptoolkit doctor --json'")
        raise typer.Exit(INTERNAL)


def bench(
    name: Annotated[
        Benchmark | None, typer.Argument(metavar="[charge|field|inference|light]", help="Default: all.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure speed and memory: two threads, warm cache, median of five.

    `floor` is the arithmetic the task needs at the least, `ratio` the figure over it.
    """
    _pin()
    from dptoolkit.cache import enable_compilation_cache

    enable_compilation_cache()
    found: list[dict[str, Any]] = []
    for part in [name] if name else list(Benchmark):
        with busy(f"measuring {part.value}"):
            found += _script(part.value).run(None)
    for row in found:
        if "skipped" in row:
            say(f"{row['case']} is skipped: {row['skipped']}")
    rows = [{key: row.get(key) for key in KEYS} | row for row in found if "skipped" not in row]
    if json:
        return emit(as_json("bench", {"threads": THREADS, "results": rows}))
    cells = [[_figure(row[key]) for key in KEYS] for row in rows]
    show_table(KEYS, cells, right=KEYS[1:])


def _show(found: dict[str, Any]) -> None:
    facts = [(name, _shown(value)) for name, value in found.items() if name != "checks"]
    show_table(("what", "found"), facts)
    emit("")
    rows = [
        (check["check"], f"{check['value']:.2g}", f"{check['limit']:.2g}", "yes" if check["ok"] else "NO")
        for check in found["checks"]
    ]
    show_table(("check", "value", "limit", "ok"), rows, right=("value", "limit"))


def _script(name: str) -> Any:
    """The module benchmarks/bench_NAME.py of the checkout or of the installed package."""
    import importlib.util
    import sys

    from dptoolkit.shipped import shipped_folder

    path = shipped_folder("benchmarks") / f"bench_{name}.py"
    if not path.is_file():
        raise FileNotFoundError(2, "this benchmark is not installed; install dptoolkit again", str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _pin() -> None:
    """Keep this process on few cores; before JAX starts its threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(THREADS)


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return {None: "none", True: "yes", False: "no"}.get(value, str(value))
