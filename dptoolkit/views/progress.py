"""How far a fit is, as a widget under the cell of a notebook that runs it."""

import html
from typing import Any

from dptoolkit.inference.fit import Snapshot
from dptoolkit.inference.problem import Problem

LINES = 8
"""Last steps that are shown."""


class FitProgress:
    """A bar over the batches of events and the last steps; it is the `callback` of a fit.

        fit(problem, callback=FitProgress(problem))

    An `ImportError` says what to install where ipywidgets is missing.
    """

    def __init__(self, problem: Problem) -> None:
        try:
            from IPython.display import display
            from ipywidgets import HTML, IntProgress, VBox
        except ImportError as error:
            raise ImportError(
                "progress in a notebook needs ipywidgets; pip install 'dptoolkit[notebooks]'"
            ) from error
        self.total = len(problem.sources)
        self.bar = IntProgress(max=self.total, description="step 0", layout={"width": "60%"})
        self.text = HTML()
        self.lines: list[str] = []
        self.step = 0
        problem.watch = self.watch
        display(VBox([self.bar, self.text]))

    def watch(self, what: str, done: int, total: int) -> None:
        """What is done to the batches of a step."""
        self.bar.max, self.bar.value = total, done
        self.bar.description = f"step {self.step}"
        self._show(f"{what}, batch {done} of {total}")

    def __call__(self, snapshot: Snapshot) -> Any:
        """A step is done."""
        self.step = snapshot.step + 1
        self.lines = [*self.lines, snapshot.line(self.total)][-LINES:]
        self._show("")

    def _show(self, doing: str) -> None:
        text = "\n".join([*self.lines, doing])
        self.text.value = f"<pre style='margin:0;line-height:1.4'>{html.escape(text)}</pre>"
