"""What commands write: JSON with its schema, tables, progress."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

import dptoolkit
from dptoolkit.cli.shell import emit, say

WIDE = 400
"""Characters of a line where the output is no terminal: tables are not cut."""


def as_json(schema: str, values: Mapping[str, Any]) -> str:
    """JSON text of `values` with their schema and the version of the program; no NaN."""
    document = {"schema": f"dptoolkit.{schema}/1", "version": dptoolkit.__version__, **values}
    return json.dumps(_finite(document), indent=2, ensure_ascii=False) + "\n"


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str] = ()) -> None:
    """A table on stdout; the columns named in `right` are aligned there."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if terminal else WIDE)
    with console.capture() as capture:
        console.print(table)
    emit("\n".join(line.rstrip() for line in capture.get().splitlines()))


def check_target(path: Path, force: bool) -> None:
    """A usage error unless a file can be written there."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected the name of a file to write")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.exists() and not force:
        raise ValueError(f"{path}: exists already; choose another name or replace it with --force")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: the folder {path.parent} is not writable; choose another one")


@contextmanager
def keeping(*paths: Path) -> Iterator[None]:
    """Where what happens inside fails or is interrupted, say what is kept of the native files at `paths`."""
    try:
        yield
    except BaseException:
        from dptoolkit.io import partial_of

        kept = [partial for partial in map(partial_of, paths) if partial.exists()]
        if kept:
            more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
            say(f"complete events are kept in {kept[0]}{more}; the same command goes on after them")
        raise


@contextmanager
def progress(what: str) -> Iterator[Any]:
    """A bar on stderr, where that is a terminal; yields a function of (done, total)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def busy(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner and the time so far on stderr, where that is a terminal; yields what changes its text."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as spinner:
        task = spinner.add_task(what, total=None)
        yield lambda text: spinner.update(task, description=text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
