"""`view` and `serve`: look at events, in a page of one's own or in an app."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.output import busy, check_target
from dptoolkit.cli.shell import say


def view(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Native HDF5, or any readable segments.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.html", help="Page to write.")],
    event: Annotated[
        int, typer.Option("--event", min=0, help="Which of the sorted events of the file, from 0.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write the display of one event as a self-contained HTML page.

    The page needs no network. It shows the read-out, the segments in three dimensions, and which belongs
    to which.

    [bold]Example[/bold]

      dptoolkit view readout.h5 --event 3 -o event.html
    """
    check_target(output, force)
    from dptoolkit.io.readers import check_file

    check_file(file)
    from dptoolkit.cache import enable_compilation_cache

    enable_compilation_cache()
    with busy("drawing the event"):
        page, title = _page(file, event)
    write_text(output, page)
    say(f"{output}: {title}, {len(page.encode()) / 1e6:.1f} MB")


def serve(
    apps: Annotated[
        list[str] | None, typer.Argument(metavar="[APP]...", help="Such as event_display; default: all.")
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free port.")] = 5006,
    address: Annotated[str, typer.Option("--address", help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    num_procs: Annotated[int, typer.Option("--num-procs", min=1, help="Processes that serve.")] = 1,
    max_upload: Annotated[int, typer.Option("--max-upload", min=1, help="Largest upload [MB].")] = 100,
    challenge: Annotated[
        Path | None,
        typer.Option("--challenge", metavar="FOLDER", help="Challenge that the leaderboard shows."),
    ] = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="The leaderboard shows how far estimates are from the truth.")
    ] = False,
) -> None:
    """Serve the dashboards to a browser, until Ctrl-C.

    [bold]Examples[/bold]

      dptoolkit serve

      dptoolkit serve leaderboard --challenge challenge --address 0.0.0.0
    """
    from dptoolkit.cache import enable_compilation_cache
    from dptoolkit.session import serve as server

    if reveal and challenge is None:
        raise typer.BadParameter("--reveal needs a challenge; name its folder with --challenge")
    if challenge is not None:
        from dptoolkit.session.leaderboard import show_challenge

        show_challenge(challenge, reveal)
    enable_compilation_cache()
    server.serve(apps or [], port=port, address=address, num_procs=num_procs, max_upload=max_upload)


def _page(file: Path, event: int) -> tuple[str, str]:
    import h5py

    from dptoolkit.config import from_yaml
    from dptoolkit.io import is_native, read_native, read_segments
    from dptoolkit.io.event_file import EventFile
    from dptoolkit.views.event import EventView
    from dptoolkit.views.report import event_page

    facts: dict[str, str] = {"file": file.name}
    native = h5py.is_hdf5(file) and _attributes_say(file, is_native)
    events: EventFile
    readout: Any = {}
    detector = None
    if native:
        _check_event(file, event, _count(file))
        stored = read_native(file, slice(event, event + 1))
        events, readout, run = stored.event_file, stored.readout, stored.run
        detector = from_yaml(run.detector_config, run.detector_name) if run.detector_config else None
        facts |= {"detector": run.detector_name} if run.detector_name else {}
        facts |= {"seed": str(run.seed)} if run.seed is not None else {}
        facts |= {"read-out": "expectation"} if run.expectation else {}
    else:
        events = read_segments(file)
        _check_event(file, event, events.n_events)
        events = events.select(slice(event, event + 1))
    number = int(events.event_numbers[0])
    facts["event"] = str(number)
    segments = events.segments if len(events) else None
    return event_page(EventView(segments, readout, detector), facts), f"event {number}"


def _check_event(file: Path, event: int, n_events: int) -> None:
    if event >= n_events:
        raise ValueError(f"{file}: --event {event}: it has {n_events} event(s); expected 0 to {n_events - 1}")


def _count(file: Path) -> int:
    import h5py

    with h5py.File(file, "r") as contents:
        numbers = contents.get("events/number")
        return len(numbers) if isinstance(numbers, h5py.Dataset) else 0


def _attributes_say(file: Path, question: Any) -> bool:
    import h5py

    with h5py.File(file, "r") as contents:
        return bool(question(contents))
