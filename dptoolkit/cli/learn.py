"""`lab`: the notebooks of the course in JupyterLab."""

from pathlib import Path
from typing import Annotated

import typer

from dptoolkit.cli.shell import say


def lab(
    folder: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where your copies of the notebooks are.")
    ] = Path("dptoolkit-notebooks"),
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only print the address.")
    ] = True,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The next free one is taken; 0: any.")
    ] = 8888,
) -> None:
    """Open the course in JupyterLab, on copies of the notebooks, until Ctrl-C.

    What you change stays: a notebook that is in FOLDER already is never replaced; new ones are added.
    Nothing is loaded from the network. Needs the extra 'notebooks'.

    [bold]Examples[/bold]

      dptoolkit lab

      dptoolkit lab --no-browser -o course
    """
    from dptoolkit.lab import check_jupyter, start_jupyter, working_copy

    check_jupyter()
    say(f"notebooks: {working_copy(folder).note}")
    start_jupyter(folder, port, browser)
