"""What a Unix user expects of every command: messages, exit codes, signals, `--debug`.

0 done; 1 internal error; 2 usage or input; 3 not converged; 130 after Ctrl-C, 143 after SIGTERM, 141 when
nobody reads the output any more.
"""

import errno
import inspect
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from types import FrameType
from typing import Annotated, Any

import typer
from typer import Exit
from typer.core import TyperGroup

INTERNAL, USAGE, NOT_CONVERGED, BROKEN_PIPE, INTERRUPTED, TERMINATED = 1, 2, 3, 141, 130, 143
_INPUT_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


class Terminated(BaseException):
    """SIGTERM: unwinds like Ctrl-C, so that files are left in order."""


Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def with_debug(function: Callable[..., None]) -> Callable[..., None]:
    """The command `function` with an option `--debug`, which `Commands` looks for."""

    @wraps(function)
    def command(*, debug: Debug = False, **options: Any) -> None:
        function(**options)

    signature = inspect.signature(function)
    option = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    command.__annotations__ = {**function.__annotations__, "debug": Debug}
    return command


class Commands(TyperGroup):
    """The group of all commands: turns what goes wrong into one line and an exit code."""

    def main(self, args: Any = None, *more: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run; in standalone mode the process ends with the exit code."""
        words = list(sys.argv[1:] if args is None else args)
        extra["prog_name"] = "dptoolkit"
        parent = super().main
        code = guarded(lambda: parent(words, *more, standalone_mode=False, **extra), words, self)
        if standalone_mode:
            sys.exit(code)
        return code


def guarded(action: Callable[[], Any], words: list[str], group: Commands) -> int:
    """Exit code of `action`; messages on stderr, tracebacks only with `--debug`."""
    command = next((word for word in words if word in group.commands), "")
    name = f"dptoolkit {command}".strip()
    try:
        with _signals_that_stop():
            code = int(action() or 0)
            sys.stdout.flush()
        if code == INTERRUPTED:
            say(f"{name}: interrupted")
        return code
    except Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else INTERNAL
    except BaseException as error:  # noqa: BLE001 - nothing is lost: _report tells it
        if "--debug" in words and not _is_help(error):
            traceback.print_exc()
        return _report(error, name)


def say(message: str) -> None:
    """A message, on stderr; nobody may be reading it."""
    with suppress(OSError):
        sys.stderr.write(message + "\n")
        sys.stderr.flush()


def emit(text: str) -> None:
    """Data, on stdout."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        _silence_stdout()
        raise Exit(BROKEN_PIPE) from None


def _report(error: BaseException, name: str) -> int:
    """Say what went wrong, in one line; the exit code."""
    if isinstance(error, Terminated):
        say(f"{name}: terminated")
        return TERMINATED
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        say(f"{name}: interrupted")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _silence_stdout()
        return BROKEN_PIPE
    if _is_help(error):
        say(_one(error).strip() or "")
        return USAGE
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own click, or click
        say(f"{name}: {_line(_one(error))}; see '{name} --help'")
        return USAGE
    if _is_input_error(error):
        say(f"{name}: {_line(_describe(error))}")
        return USAGE
    what = f"{type(error).__name__}: {_line(str(error))[:500]}"
    say(f"{name}: internal error: {what}; --debug shows the traceback")
    return INTERNAL


def _is_input_error(error: BaseException) -> bool:
    """Whether dptoolkit itself refused what it was given, or a file is not where or what it should be."""
    if isinstance(error, _INPUT_ERRORS):
        return True
    if not isinstance(error, ValueError):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return module.split(".")[0] == "dptoolkit"


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror or error}"
    return str(error)


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _one(error: BaseException) -> str:
    return str(error.format_message()).replace("Value error, ", "")  # type: ignore[attr-defined]


def _is_help(error: BaseException) -> bool:
    return type(error).__name__ == "NoArgsIsHelpError"


def _silence_stdout() -> None:
    """The interpreter flushes stdout once more as it ends; let that go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _signals_that_stop() -> Iterator[None]:
    """SIGINT and SIGTERM unwind the command; only the main thread may decide that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_STOPS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
_LOSES_EXCEPTIONS = {"_xla_gc_callback", "__del__"}
"""Where Python prints an exception and goes on: a callback of the garbage collector, a finaliser."""


def _stop(number: int, frame: FrameType | None) -> None:
    """Unwind, or come back in a moment if the exception would be lost here."""
    while frame is not None:
        if frame.f_code.co_name in _LOSES_EXCEPTIONS:
            threading.Timer(0.02, os.kill, (os.getpid(), number)).start()
            return
        frame = frame.f_back
    raise _STOPS[signal.Signals(number)]
