"""Make the pictures of the README: python docs/make_pictures.py (needs Chromium)."""

from pathlib import Path

import jax

from dptoolkit.cache import enable_compilation_cache
from dptoolkit.config import load_detector
from dptoolkit.sources.example import example_muon
from dptoolkit.views.event import EventView
from dptoolkit.views.export import page_png
from dptoolkit.views.report import event_page


def main() -> None:
    """The example muon in sbnd, as `dptoolkit view` shows it."""
    enable_compilation_cache()
    detector = load_detector("sbnd")
    segments = example_muon((60.0, 20.0, 250.0), (-0.5, -0.3, 0.8))
    readout = detector(segments, key=jax.random.key(1))
    page = event_page(EventView(segments, readout, detector), {"detector": "sbnd", "seed": "1"})
    page_png(page, Path(__file__).parent / "event_display.png")


if __name__ == "__main__":
    main()
