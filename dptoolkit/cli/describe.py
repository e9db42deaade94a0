"""`detectors` and `describe`: which detectors there are, and every number in them."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any

import typer

from dptoolkit.cli.output import as_json, show_table
from dptoolkit.cli.shell import emit

Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def detectors(json: Json = False) -> None:
    """List the detectors that come with the package.

    Their files are YAML; a file of your own works wherever a name does.
    """
    from dptoolkit.cli.overview import overview
    from dptoolkit.config import detector_names

    rows = [overview(name) for name in detector_names()]
    if json:
        return emit(as_json("detectors", {"detectors": rows}))
    columns = ("name", "kind", "readout", "volumes", "channels", "description")
    show_table(columns, [[row[column] for column in columns] for row in rows], right=("volumes", "channels"))


def describe(
    detector: Annotated[str, typer.Argument(metavar="DETECTOR", help="Name, or a YAML file.")],
    json: Json = False,
) -> None:
    """Show every parameter of a detector: value, unit, bounds, symbol, reference.

    The paths are those of --set and --free, such as drift.lifetime or planes.U.gain. Parameters with
    typical values are those that calibrate frees.
    """
    from dptoolkit.cache import enable_compilation_cache
    from dptoolkit.config import load_detector
    from dptoolkit.params import infos

    enable_compilation_cache()
    rows = [_row(info) for info in infos(load_detector(detector)).values()]
    if json:
        return emit(as_json("parameters", {"detector": detector, "parameters": rows}))
    columns = ("path", "value", "unit", "bounds", "typical", "symbol", "reference")
    shown = [[_shown(column, row[column]) for column in columns] for row in rows]
    show_table(columns, shown, right=("value",))


def _row(info: Any) -> dict[str, Any]:
    import numpy as np

    value = np.asarray(info.value, float)
    return {
        "path": info.path,
        "value": [_short(v) for v in value.ravel()] if value.ndim else _short(value),
        "unit": info.unit,
        "bounds": [float(bound) if np.isfinite(bound) else None for bound in info.bounds],
        "symbol": info.symbol,
        "reference": info.reference,
        "typical": None if info.typical is None else list(info.typical),
    }


def _short(value: Any) -> float:
    """The number that was meant: the shortest that is the same in single precision."""
    import numpy as np

    return float(str(np.float32(value)))


def _shown(column: str, value: Any) -> str:
    if column == "typical":
        return "" if value is None else f"{value[0]:g} .. {value[1]:g}"
    if column == "bounds":
        low, high = ("" if bound is None else f"{bound:g}" for bound in value)
        return f"{low} .. {high}"
    if column == "value" and isinstance(value, list):
        return f"{min(value):g} .. {max(value):g} ({len(value)} values)" if value else "none"
    return f"{value:.6g}" if column == "value" else str(value)


def set_parameters(detector: Any, assignments: list[str]) -> Any:
    """`detector` with the changes of `--set PATH=VALUE ...`."""
    from dptoolkit.params import replace

    return replace(detector, parse_assignments(assignments)) if assignments else detector


def parse_assignments(assignments: list[str], option: str = "--set") -> Mapping[str, str]:
    """PATH=VALUE texts of an option as a mapping; a path without prefix is that of the detector."""
    changes: dict[str, str] = {}
    for text in assignments:
        path, equals, value = (part.strip() for part in text.partition("="))
        if not (path and equals and value):
            raise ValueError(f"{option} {text!r}: expected PATH=VALUE such as drift.lifetime='3 ms'")
        path = path.removeprefix("detector.")
        if path in changes:
            raise ValueError(f"{option} {text!r}: {path} is given twice; give one value")
        changes[path] = value
    return changes


def parse_priors(detector: Any, texts: list[str], free: Collection[str]) -> dict[str, tuple[float, float]]:
    """(value, standard error) by path of `--prior 'PATH=VALUE +- ERROR'`, which names what is `free`."""
    import numpy as np

    from dptoolkit import units
    from dptoolkit.params import get, infos

    known: dict[str, tuple[float, float]] = {}
    for path, text in parse_assignments(texts, "--prior").items():
        value, sign, error = (part.strip() for part in text.partition("+-"))
        if not (value and sign and error):
            raise ValueError(f"--prior {path}={text}: expected PATH='VALUE +- ERROR' with units")
        if path not in free:
            raise ValueError(f"--prior {path}: is not free; name it with --free; free are {', '.join(free)}")
        mean = float(np.asarray(get(set_parameters(detector, [f"{path}={value}"]), path)))
        unit = infos(detector)[path.split("[")[0]].unit
        try:
            width = float(units.parse(error, unit))
        except ValueError as wrong:
            raise ValueError(f"--prior {path}: error {error!r}: {wrong}") from None
        if not width > 0:
            raise ValueError(f"--prior {path}: the error is {error}; expected a positive {unit}")
        known[path] = mean, width
    return known
