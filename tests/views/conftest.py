import pytest


@pytest.fixture(scope="session")
def small_event():
    """The example muon in the small wire detector: detector, segments, read-out."""
    from dptoolkit.config import load_detector
    from dptoolkit.sources.example import example_muon

    detector = load_detector("small-wire")
    segments = example_muon(length=50.0)
    return detector, segments, detector(segments)


@pytest.fixture(scope="session")
def small_hits():
    """The example muon in the small pixel detector: detector, segments, read-out."""
    from dptoolkit.config import load_detector
    from dptoolkit.sources.example import example_muon

    detector = load_detector("small-pixel")
    segments = example_muon(length=20.0)
    return detector, segments, detector(segments)
