"""Options that several commands share, and the checks of what they name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

MAX_SEED = 2**32 - 1

DetectorName = Annotated[
    str, typer.Option("--detector", "-d", metavar="NAME", help="Detector, or a YAML file.")
]
Events = Annotated[
    str, typer.Option("--events", metavar="A:B", help="Half-open range over the sorted events.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes; the result is the same.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler instead of own processes."),
]
Folder = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the results. Required.")
]
Free = Annotated[
    str | None,
    typer.Option("--free", metavar="PATH,...", help="Parameters to fit; default: all with typical values."),
]
Start = Annotated[
    list[str] | None,
    typer.Option("--start", metavar="PATH=VALUE", help="Where a fit begins; default: as described."),
]
Prior = Annotated[
    list[str] | None,
    typer.Option(
        "--prior",
        metavar="'PATH=VALUE +- ERROR'",
        help="What is known of a free parameter from elsewhere; repeatable.",
    ),
]
Method = Annotated[str, typer.Option("--method", help="gauss-newton, lbfgs, adam, ...")]
Loss = Annotated[str, typer.Option("--loss", help="auto: the likelihood of the read-out; or its name.")]
Place = Annotated[str, typer.Option("--place", metavar="HOW", help="As for simulate.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing results.")]


def paths(free: str | None) -> list[str]:
    """The parameters that --free names, without the prefix `detector.`."""
    return [path.strip().removeprefix("detector.") for path in (free or "").split(",") if path.strip()]


def chosen(command: Callable[..., None], values: Mapping[str, Any]) -> set[str]:
    """Names of the options of a command whose values are not their defaults."""
    known = inspect.signature(command).parameters
    return {name for name, value in values.items() if value not in (known[name].default, None, [])}


def refuse(given: set[str], names: Iterable[str], why: str) -> None:
    """An error if any of these options was given, as it would mean nothing."""
    for name in names:
        if name in given:
            raise typer.BadParameter(f"--{name.strip('_').replace('_', '-')} {why}; leave it out")


def check_words(method: str, loss: str) -> None:
    """Wrong names, and two that do not go together, are refused before anything is computed."""
    from dptoolkit.inference.losses import LOSSES, AbstractResidualLoss, loss_of
    from dptoolkit.inference.optimise import METHODS, method_of

    by_residuals = method_of(method).needs_residuals
    if loss == "auto" or isinstance(loss_of(loss), AbstractResidualLoss) or not by_residuals:
        return
    others = ", ".join(name for name, one in METHODS.items() if not one.needs_residuals)
    fitting = ", ".join(name for name in LOSSES if isinstance(loss_of(name), AbstractResidualLoss))
    raise ValueError(
        f"--method {method} needs residuals and --loss {loss} has none; expected --method {others}, "
        f"or --loss {fitting}"
    )


def results_folder(output: Path | None) -> Path:
    """The folder that -o names, which can be made; nothing is made yet."""
    if output is None:
        raise typer.BadParameter("missing -o FOLDER: the results are files; name their folder")
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output}: is a file; expected a folder; choose another -o")
    if not output.parent.is_dir():
        raise ValueError(f"{output}: the folder {output.parent} does not exist; make it first")
    return output
