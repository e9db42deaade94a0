"""Signals and exit codes of every command."""

import os
import signal
import time

import pytest

from dptoolkit.cli.shell import Commands, guarded


class _Interrupted:
    """An object whose finaliser, where Python drops exceptions, is hit by a signal."""

    def __init__(self, number: int):
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        time.sleep(0.001)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_a_finaliser_still_ends_the_command(number: int, code: int) -> None:
    def action() -> None:
        _Interrupted(number)
        time.sleep(5.0)
        raise AssertionError("the signal was lost")

    assert guarded(action, [], Commands()) == code


def test_the_handlers_of_the_caller_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert guarded(lambda: 0, [], Commands()) == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
