"""The native format: exact, deterministic, atomic, resumable."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from dptoolkit.events import Hits, Segments, Waveforms, take
from dptoolkit.io import (
    Batch,
    InputError,
    NativeWriter,
    Run,
    Truth,
    read_native,
    read_segments,
    unfinished,
    write_native,
)
from tests.io.makers import write_dataset

DOCUMENT = Path(__file__).parents[2] / "docs/native-format.md"


def assert_same(actual, expected):
    """Equal in every field, array or not."""
    for name in type(expected).__dataclass_fields__:
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)


def split(batch: Batch, index: int) -> Batch:
    """One event of `batch`, as a producer that works event by event would hand it over."""
    mine = np.asarray(batch.segments.event) == index
    segments = take(batch.segments, mine)
    readout, truth = {}, {}
    for plane, whole in batch.readout.items():
        rows = np.asarray(whole.event) == index
        fields = {
            name: getattr(whole, name)[rows] if jnp.ndim(getattr(whole, name)) else getattr(whole, name)
            for name in type(whole).__dataclass_fields__
            if not isinstance(getattr(whole, name), str)
        }
        fields |= {n: v for n in type(whole).__dataclass_fields__ if isinstance(v := getattr(whole, n), str)}
        readout[plane] = type(whole)(**{**fields, "event": jnp.zeros(rows.sum(), jnp.int32)})
        back = batch.truth[plane]
        chosen = rows[back.place[:, 0]]
        place = back.place[chosen]
        place[:, 0] = (np.cumsum(rows) - 1)[place[:, 0]]
        truth[plane] = Truth(place, (np.cumsum(mine) - 1)[back.segment[chosen]], back.share[chosen])
    segments = Segments(**{**vars(segments), "event": jnp.zeros(mine.sum(), jnp.int32)})
    particles = {name: column[batch.particles["event"] == index] for name, column in batch.particles.items()}
    particles["event"] = np.zeros(len(particles["event"]), int)
    return Batch(batch.event_numbers[index : index + 1], segments, readout, truth, None, particles)


def datasets(path: Path) -> dict[str, tuple]:
    found = {}
    with h5py.File(path) as file:
        found["/"] = dict(file.attrs)

        def visit(name, item):
            attributes = {key: str(value) for key, value in item.attrs.items()}
            if isinstance(item, h5py.Dataset):
                found[name] = (
                    item.dtype,
                    item.shape,
                    item.chunks,
                    np.asarray(item[()]).tobytes(),
                    attributes,
                )
            else:
                found[name] = attributes

        file.visititems(visit)
    return found


def test_segments_come_back_sorted_by_event_without_padding(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    native = read_native(tmp_path / "n.h5")
    assert_same(native.event_file.segments, take(batch.segments, np.array([1, 2, 3, 0, 4])))
    np.testing.assert_array_equal(native.event_file.event_numbers, [2, 5, 11])
    assert_same(read_segments(tmp_path / "n.h5").segments, native.event_file.segments)


def test_readout_comes_back_exactly(tmp_path, batch, run, waveforms, hits):
    write_native(tmp_path / "n.h5", batch, run)
    native = read_native(tmp_path / "n.h5")
    kept = np.array([0, 2, 3])
    expected = {name: getattr(waveforms, name) for name in Waveforms.__dataclass_fields__}
    expected |= {name: value[kept] for name, value in expected.items() if jnp.ndim(value)}
    assert_same(native.readout["U"], Waveforms(**expected))
    expected = {name: getattr(hits, name) for name in Hits.__dataclass_fields__}
    expected |= {name: value[:3] for name, value in expected.items() if jnp.ndim(value)}
    assert_same(native.readout["pads"], Hits(**expected))


def test_back_tracking_points_at_the_same_hits_and_segments(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    native = read_native(tmp_path / "n.h5")
    moved = {1: 0, 2: 1, 3: 2, 0: 3, 4: 4}  # segments: old position to new
    pads, expected = native.truth["pads"], batch.truth["pads"]
    np.testing.assert_array_equal(pads.place, expected.place)
    np.testing.assert_array_equal(pads.segment, [moved[i] for i in expected.segment])
    np.testing.assert_allclose(pads.share, expected.share)
    np.testing.assert_array_equal(native.truth["U"].place, [[0, 0, 4], [2, 1, 2], [2, 1, 2]])
    np.testing.assert_array_equal(native.truth["U"].segment, [0, 3, 4])


def test_the_run_is_inside(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run, summary={"hits": 4, "pe": None})
    native = read_native(tmp_path / "n.h5")
    assert native.run == run
    assert native.summary == {"hits": 4, "pe": None}
    assert native.version == 1
    np.testing.assert_array_equal(native.event_file.particles["kinetic_energy"], [1, 2, 3])
    assert native.event_file.interactions is None


def test_a_configuration_longer_than_an_attribute_fits(tmp_path, batch):
    run = Run(detector_config="# comment\n" * 20_000, expectation=True)
    write_native(tmp_path / "n.h5", batch, run)
    assert read_native(tmp_path / "n.h5").run == run


def test_double_precision_of_a_file_survives(tmp_path, larndsim_rows, run):
    events = read_segments(write_dataset(tmp_path / "e.h5", "segments", larndsim_rows))
    write_native(tmp_path / "n.h5", Batch.of(events), run)
    again = read_segments(tmp_path / "n.h5")
    for name, column in events.columns.items():
        np.testing.assert_array_equal(again.columns[name], column)


def test_counts_are_int16_and_expectations_float32(tmp_path, batch, run):
    write_native(tmp_path / "counts.h5", batch, run)
    write_native(tmp_path / "mean.h5", batch, replace(run, expectation=True))
    for name, dtype in (("counts", np.int16), ("mean", np.float32)):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert file["readout/U/samples"].dtype == dtype


def test_some_events_are_those_of_the_whole(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    part = read_native(tmp_path / "n.h5", "1:3")
    np.testing.assert_array_equal(part.event_file.event_numbers, [5, 11])
    np.testing.assert_array_equal(part.event_file.columns["event"], [0, 1, 1])
    np.testing.assert_array_equal(part.readout["pads"].column, [5, 6])
    np.testing.assert_array_equal(part.truth["pads"].place, [[0, 0], [1, 0]])
    np.testing.assert_array_equal(part.truth["pads"].segment, [0, 2])
    np.testing.assert_array_equal(part.event_file.bounds, read_segments(tmp_path / "n.h5").bounds)


def test_the_same_input_gives_identical_files(tmp_path, batch, run):
    write_native(tmp_path / "a.h5", batch, run)
    write_native(tmp_path / "b.h5", batch, run)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_event_by_event_gives_the_datasets_of_one_batch(tmp_path, batch, run):
    write_native(tmp_path / "one.h5", batch, run)
    with NativeWriter(tmp_path / "many.h5", run) as writer:
        for index in range(3):
            writer.append(split(batch, index))
    assert datasets(tmp_path / "one.h5") == datasets(tmp_path / "many.h5")


def test_an_interrupted_file_is_kept_and_continued(tmp_path, batch, run):
    path, partial = tmp_path / "n.h5", tmp_path / "n.h5.partial"
    with pytest.raises(KeyboardInterrupt), NativeWriter(path, run) as writer:
        writer.append(split(batch, 0))
        raise KeyboardInterrupt
    assert not path.exists()
    assert read_native(partial).event_file.n_events == 1
    with NativeWriter(path, run, resume=True) as writer:
        assert writer.n_done == 1
        for index in range(writer.n_done, 3):
            writer.append(split(batch, index))
    assert not partial.exists()
    write_native(tmp_path / "one.h5", batch, run)
    assert datasets(tmp_path / "one.h5") == datasets(path)


def test_half_an_event_is_dropped(tmp_path, batch, run):
    broken = replace(
        split(batch, 1), truth={"pads": Truth(np.array([[9, 9]]), np.array([0]), np.array([1.0]))}
    )
    with pytest.raises(ValueError, match="does not exist"), NativeWriter(tmp_path / "n.h5", run) as writer:
        writer.append(split(batch, 0))
        writer.append(broken)
    with NativeWriter(tmp_path / "n.h5", run, resume=True) as writer:
        writer.append(split(batch, 1))
        writer.append(split(batch, 2))
    write_native(tmp_path / "one.h5", batch, run)
    assert datasets(tmp_path / "one.h5") == datasets(tmp_path / "n.h5")


def test_another_run_does_not_continue_a_file(tmp_path, batch, run):
    with pytest.raises(KeyboardInterrupt), NativeWriter(tmp_path / "n.h5", run) as writer:
        writer.append(split(batch, 0))
        raise KeyboardInterrupt
    for other in (replace(run, seed=8), replace(run, detector_config="name: other")):
        with pytest.raises(InputError, match="belongs to another run"):
            NativeWriter(tmp_path / "n.h5", other, resume=True)
    assert (tmp_path / "n.h5.partial").exists()


def test_what_a_run_left_is_continued_by_that_run_only_and_begun_again_when_damaged(tmp_path, batch, run):
    path, partial = tmp_path / "n.h5", tmp_path / "n.h5.partial"
    assert unfinished(path, run, force=False) == (False, [])
    with pytest.raises(KeyboardInterrupt), NativeWriter(path, run) as writer:
        writer.append(split(batch, 0))
        raise KeyboardInterrupt
    assert unfinished(path, run, force=False) == (True, [f"continued {partial}"])
    other = replace(run, seed=8)
    with pytest.raises(InputError, match="left by another run"):
        unfinished(path, other, force=False)
    assert unfinished(path, other, force=True)[0] is False
    partial.write_bytes(b"no HDF5")
    resume, (note,) = unfinished(path, run, force=False)
    assert not resume and "damaged" in note


def test_force_replaces_only_when_complete(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    before = (tmp_path / "n.h5").read_bytes()
    with pytest.raises(RuntimeError), NativeWriter(tmp_path / "n.h5", run, force=True) as writer:
        writer.append(split(batch, 0))
        raise RuntimeError
    assert (tmp_path / "n.h5").read_bytes() == before
    write_native(tmp_path / "n.h5", batch, replace(run, seed=8), force=True)
    assert read_native(tmp_path / "n.h5").run.seed == 8


def test_a_killed_process_leaves_no_half_file(tmp_path):
    code = """
        import os, signal, sys
        import numpy as np
        from dptoolkit.events import segments_from_arrays
        from dptoolkit.io import Batch, NativeWriter, Run
        with NativeWriter(sys.argv[1], Run(seed=1)) as writer:
            for number in range(3):
                segments = segments_from_arrays(np.zeros((50, 3)), np.ones((50, 3)), np.ones(50))
                writer.append(Batch(np.array([number]), segments))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "n.h5"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not path.exists()
    with NativeWriter(path, Run(seed=1), resume=True) as writer:
        assert writer.n_done == 3
    assert read_segments(path).n_events == 3


def test_readout_without_segments_is_a_file_too(tmp_path, batch, run, segments):
    empty = take(segments, np.zeros(6, bool))
    write_native(tmp_path / "n.h5", replace(batch, segments=empty, truth={}), run)
    assert len(read_native(tmp_path / "n.h5").event_file) == 0
    with pytest.raises(InputError, match="only readout"):
        read_segments(tmp_path / "n.h5")


def test_events_without_hits_are_a_file_too(tmp_path, batch, run, hits):
    none = Hits(**{**vars(hits), "valid": jnp.zeros(4, bool)})
    write_native(tmp_path / "n.h5", replace(batch, readout={"pads": none}, truth={}), run)
    assert read_native(tmp_path / "n.h5").readout["pads"].charge.shape == (0, 2)


def test_a_file_without_events_can_be_read(tmp_path, run):
    with NativeWriter(tmp_path / "n.h5", run):
        pass
    native = read_native(tmp_path / "n.h5")
    assert (native.event_file.n_events, len(native.event_file), native.readout) == (0, 0, {})


def test_a_unit_of_the_file_is_converted(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    before = read_segments(tmp_path / "n.h5").columns
    with h5py.File(tmp_path / "n.h5", "r+") as file:
        file["segments/de"].attrs["unit"] = "GeV"
    np.testing.assert_allclose(read_segments(tmp_path / "n.h5").columns["de"], before["de"] * 1e3)


def test_the_document_names_everything_in_the_file(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    text = DOCUMENT.read_text()
    names: set[str] = set()
    with h5py.File(tmp_path / "n.h5") as file:
        names |= set(file.attrs)
        file.visit(lambda name: names.update(name.split("/")))
        file.visititems(lambda name, item: names.update(item.attrs))
    missing = [name for name in names - {"U", "pads"} if f"`{name}`" not in text]
    assert missing == []
    assert len(text.splitlines()) < 90
