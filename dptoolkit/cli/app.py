"""The commands, in groups; what they need is imported when they run."""

import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import dptoolkit
from dptoolkit.cli import (
    calibrate,
    campaign,
    challenge,
    check,
    demo,
    describe,
    evaluate,
    generate,
    learn,
    look,
    reconstruct,
    simulate,
    train_visibility,
)
from dptoolkit.cli.shell import INTERRUPTED, TERMINATED, Commands, Debug, emit, with_debug

EPILOG = (
    "Results go to files or standard output, messages to standard error. "
    "Exit codes: 0 done, 1 internal error, 2 usage or input, 3 not converged, 130 after Ctrl-C."
)

app = typer.Typer(
    cls=Commands,
    help="Differentiable modelling of neutrino detectors: simulate, calibrate, reconstruct with one model.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the program."""
    code = app(standalone_mode=False)
    if code in (INTERRUPTED, TERMINATED):
        os._exit(code)  # everything is closed; threads of JAX that still compute would crash an orderly end
    sys.exit(code)


def _show_version(wanted: bool) -> bool:
    if wanted:
        emit(f"dptoolkit {dptoolkit.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Debug = False,
) -> None:
    pass


def _help(command: Callable[..., None]) -> str:
    """The docstring with a line a paragraph, which the terminal breaks; indented lines stay."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(p if p.startswith(" ") else " ".join(p.split()) for p in paragraphs)


for panel, commands in {
    "Start": (demo.demo, check.doctor),
    "Detectors": (describe.detectors, describe.describe),
    "Simulate and look": (generate.generate, simulate.simulate, look.view, look.serve),
    "Fit": (calibrate.calibrate, campaign.campaign, train_visibility.train_visibility),
    "Reconstruct": (reconstruct.reconstruct, evaluate.evaluate),
    "Learn": (learn.lab,),
    "Measure": (check.bench,),
}.items():
    for command in commands:
        app.command(rich_help_panel=panel, help=_help(command))(with_debug(command))

_challenge = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
for command in (challenge.new, challenge.score):
    _challenge.command(help=_help(command))(with_debug(command))
app.add_typer(
    _challenge,
    name="challenge",
    rich_help_panel="Learn",
    help="A blinded calibration for a class: make it, score it.",
)
