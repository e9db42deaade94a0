"""View-model of the event display: what is shown, without a word about how."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
import param

from dptoolkit.config import Detector, detector_names, from_yaml, load_detector
from dptoolkit.io import EventFile, NativeFile, place, read_native, read_segments
from dptoolkit.session.upload import opened_upload
from dptoolkit.sources.example import example_muon
from dptoolkit.views.event import EventView

EXAMPLE = "example muon"
RECORDED, EXPECTATION, SAMPLE = "as recorded", "expectation", "sample"
STATE_VERSION = 1

_detector = lru_cache(maxsize=4)(load_detector)


class EventDisplay(param.Parameterized):
    """Which event of which file in which detector; `view()` makes it."""

    detector = param.Selector(default="small-wire", objects=detector_names(), doc="Detector that simulates")
    event = param.Integer(default=0, bounds=(0, None), doc="Position of the event in the file")
    mode = param.Selector(default=EXPECTATION, objects=[EXPECTATION, SAMPLE], doc="Read-out that is shown")
    seed = param.Integer(default=1, bounds=(0, None), doc="Seed of a sample")
    limit = param.Number(default=None, bounds=(0, None), inclusive_bounds=(False, True), allow_None=True,
                         doc="Signal at which colours saturate; automatic without")  # fmt: skip
    theme = param.Selector(default="light", objects=["light", "dark"])
    source = param.String(default=EXAMPLE, constant=True, doc="Name of the file")

    _file: EventFile | None = None
    _native: NativeFile | None = None
    _note = ""

    @property
    def event_numbers(self) -> list[int]:
        """Numbers of the events of the file."""
        return [0] if self._file is None else [int(number) for number in self._file.event_numbers]

    def open(self, path: str | Path, name: str = "") -> None:
        """Show a file in any readable format; an `InputError` says what is wrong with it."""
        file = read_segments(path)
        native = read_native(path) if file.format == "dptoolkit" else None
        recorded = native is not None and bool(native.readout) and bool(native.run.detector_config)
        self._file, self._native = file, native
        modes = [RECORDED, EXPECTATION, SAMPLE] if recorded else [EXPECTATION, SAMPLE]
        with param.edit_constant(self):
            self.param.mode.objects = modes
            self.param.update(source=name or Path(path).name, event=0, mode=modes[0])

    def open_upload(self, name: str, content: bytes, max_mb: float) -> None:
        """Show an uploaded file; errors name it as the user does."""
        opened_upload(name, content, max_mb, lambda path: self.open(path, name))

    def view(self) -> EventView:
        """The event, simulated or as recorded."""
        if self.mode == RECORDED and self._native is not None:
            return self._recorded(self._native)
        detector = _detector(self.detector)
        if self._file is None:
            low, high = detector.region.bounds
            first = detector.region.boxes[0]
            size = float(np.linalg.norm(first[1] - first[0]))
            center = (first[0] + first[1]) / 2
            self._note = f"in a detector of {' × '.join(f'{side:.0f}' for side in high - low)} cm"
            segments = example_muon(tuple(center), length=min(100.0, 0.6 * size))
        else:
            placed, self._note = place(self._file.select(slice(self.event, self.event + 1)), detector.region)
            segments = placed.segments
        key = jax.random.key(self.seed) if self.mode == SAMPLE else None
        return EventView(segments, detector(segments, key=key), detector, limit=self.limit)

    def facts(self) -> dict[str, str]:
        """What the header says."""
        mode = f"{self.mode}, seed {self.seed}" if self.mode == SAMPLE else self.mode
        name = self.detector
        if self.mode == RECORDED and self._native is not None:
            name = self._native.run.detector_name
        number = self.event_numbers[min(self.event, len(self.event_numbers) - 1)]
        return {"detector": name, "file": self.source, "event": str(number), "read-out": mode}

    @property
    def note(self) -> str:
        """Where the event was placed."""
        return self._note

    def to_dict(self) -> dict[str, Any]:
        """The state of every control."""
        controls = ("detector", "event", "mode", "seed", "limit", "theme")
        return {"version": STATE_VERSION, **{name: getattr(self, name) for name in controls}}

    def from_dict(self, state: dict[str, Any]) -> None:
        """Set every control; the inverse of `to_dict`."""
        state = dict(state)
        version = state.pop("version", None)
        if version != STATE_VERSION:
            raise ValueError(f"version = {version!r}: this event display reads version {STATE_VERSION}")
        self.param.update(**state)

    def _recorded(self, native: NativeFile) -> EventView:
        self._note = "as recorded"
        detector = _from_text(native.run.detector_config)
        segments = native.event_file.segments
        return EventView(segments, native.readout, detector, self.event, self.limit)


@lru_cache(maxsize=4)
def _from_text(text: str) -> Detector:
    return from_yaml(text)
