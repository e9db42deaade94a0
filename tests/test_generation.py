"""Production of samples: shards, resumption, any number of workers, the same bits."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from distributed import LocalCluster

from dptoolkit import generation
from dptoolkit.detector import LArTPC
from dptoolkit.generation import Request, generate_files, shard_paths
from dptoolkit.io import InputError, read_native
from tests.cli.makers import assert_same, datasets


@pytest.fixture(scope="module")
def whole(small_wire: LArTPC, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty events in one go."""
    output = tmp_path_factory.mktemp("whole") / "muons.h5"
    written = generate_files(Request("muons", 40, seed=3), small_wire, output)
    assert written.n_events == 40 and written.files == [output] and written.n_segments > 40
    return output


def joined(paths: list[Path], column: str) -> np.ndarray:
    return np.concatenate([datasets(path)[column] for path in paths])


@pytest.mark.parametrize("column", ["segments/de", "segments/x_end", "particles/parent", "events/number"])
def test_shards_hold_the_events_of_the_whole(column: str, whole: Path, small_wire: LArTPC, tmp_path: Path):
    output = tmp_path / "muons.h5"
    generate_files(Request("muons", 40, seed=3, shards=3), small_wire, output)
    paths = shard_paths(output, 3)
    assert [path.name for path in paths] == ["muons-0000.h5", "muons-0001.h5", "muons-0002.h5"]
    assert np.array_equal(joined(paths, column), datasets(whole)[column])


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 2])
def test_two_processes_make_the_same_bits(shards: int, whole: Path, small_wire: LArTPC, tmp_path: Path):
    output = tmp_path / "muons.h5"
    generate_files(Request("muons", 40, seed=3, shards=shards, jobs=2), small_wire, output)
    if shards == 1:
        assert_same(whole, output)
    for column in ("segments/de", "particles/kinetic_energy"):
        assert np.array_equal(joined(shard_paths(output, shards), column), datasets(whole)[column])


@pytest.mark.slow
def test_a_cluster_at_an_address_makes_the_same_bits(whole: Path, small_wire: LArTPC, tmp_path: Path):
    output = tmp_path / "muons.h5"
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        request = Request("muons", 40, seed=3, scheduler=cluster.scheduler_address)
        generate_files(request, small_wire, output)
    assert_same(whole, output)


def stop_after(n: int):
    def progress(done: int, total: int) -> None:
        if done >= n:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_run_goes_on(whole: Path, small_wire: LArTPC, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(generation, "BATCH", 16)
    output = tmp_path / "muons.h5"
    with pytest.raises(KeyboardInterrupt):
        generate_files(Request("muons", 40, seed=3), small_wire, output, stop_after(16))
    assert not output.exists()
    written = generate_files(Request("muons", 40, seed=3), small_wire, output)
    assert any("continued" in note for note in written.notes)
    assert_same(whole, output)


def test_finished_shards_are_kept(whole: Path, small_wire: LArTPC, tmp_path: Path):
    output, request = tmp_path / "muons.h5", Request("muons", 40, seed=3, shards=4)
    with pytest.raises(KeyboardInterrupt):
        generate_files(request, small_wire, output, stop_after(20))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.h5")}
    assert before
    written = generate_files(request, small_wire, output)
    assert any(f"kept {len(before)} of 4" in note for note in written.notes)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert np.array_equal(joined(written.files, "segments/de"), datasets(whole)["segments/de"])
    with pytest.raises(InputError, match="all 4 shards"):
        generate_files(request, small_wire, output)


def test_what_another_run_left_is_not_continued(small_wire: LArTPC, tmp_path: Path):
    output = tmp_path / "muons.h5"
    with pytest.raises(KeyboardInterrupt):
        generate_files(Request("muons", 20, seed=3), small_wire, output, stop_after(20))
    with pytest.raises(InputError, match="another run"):
        generate_files(Request("muons", 20, seed=4), small_wire, output)
    assert generate_files(Request("muons", 20, seed=4, force=True), small_wire, output).n_events == 20


def test_files_carry_labels_units_and_where_they_are_from(whole: Path, small_wire: LArTPC):
    native = read_native(whole)
    assert native.run.seed == 3 and native.run.provenance["sample"] == "muons"
    particles, interactions = native.event_file.particles, native.event_file.interactions
    assert particles is not None and interactions is not None
    assert {"parent", "ancestor", "group", "interaction", "process", "semantic"} <= set(particles)
    assert len(interactions["x"]) == native.event_file.n_events == 40
    inside = small_wire.volumes.locate(np.stack([interactions[axis] for axis in "xyz"], axis=1))
    assert (inside >= 0).all()
    with h5py.File(whole) as file:
        assert file["particles/kinetic_energy"].attrs["unit"] == "MeV"
        assert file["particles/x"].attrs["unit"] == "cm"


def test_more_shards_than_events_are_refused(small_wire: LArTPC, tmp_path: Path):
    with pytest.raises(InputError, match="1 to 2"):
        generate_files(Request("muons", 2, shards=3), small_wire, tmp_path / "muons.h5")
