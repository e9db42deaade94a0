"""Bad input: one line that says what was wrong, what was expected and how to mend it."""

from dataclasses import replace

import h5py
import numpy as np
import numpy.lib.recfunctions as recfunctions
import pytest

from dptoolkit.io import (
    InputError,
    NativeWriter,
    events_slice,
    place,
    read_native,
    read_segments,
    write_native,
)
from tests.io.makers import LARNDSIM, STEPS, write_dataset, write_pstep


def edepsim(tmp_path, rows, **changed):
    for name, (row, value) in changed.items():
        rows[name][row] = value
    return write_dataset(tmp_path / "e.h5", "segments", rows)


def raw(tmp_path, content, name="file.h5"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


CASES = {
    "missing file": (lambda t, r: t / "nowhere.h5", "no such file"),
    "missing file with a near name": (
        lambda t, r: edepsim(t, r).with_name("ee.h5"),
        "did you mean e.h5",
    ),
    "missing folder": (lambda t, r: t / "a" / "b.h5", "does not exist either"),
    "folder": (lambda t, r: edepsim(t, r).parent, "is a folder; expected a file; it holds e.h5"),
    "empty file": (lambda t, r: raw(t, b""), "empty (0 bytes)"),
    "text file": (lambda t, r: raw(t, b"hello world"), "neither HDF5 nor npz"),
    "ROOT file": (lambda t, r: raw(t, b"root\0\0\0\0"), "is a ROOT file"),
    "truncated HDF5": (lambda t, r: raw(t, edepsim(t, r).read_bytes()[:-60]), "truncated or corrupt"),
    "truncated npz": (lambda t, r: raw(t, b"PK\3\4 rest", "a.npz"), "no readable npz"),
    "unknown content": (
        lambda t, r: write_dataset(t / "u.h5", "charge", np.zeros(3)),
        "it holds datasets charge; expected one of: ",
    ),
    "no datasets": (lambda t, r: h5py.File(t / "n.h5", "w").close() or t / "n.h5", "it holds nothing"),
    "unstructured": (lambda t, r: write_dataset(t / "u.h5", "segments", np.zeros((3, 7))), "plain numbers"),
    "missing columns": (
        lambda t, r: edepsim(t, recfunctions.drop_fields(r, ["dE", "z_end"])),
        "lacks column(s) z_end, dE; it has eventID",
    ),
    "missing event column": (
        lambda t, r: edepsim(t, recfunctions.drop_fields(r, ["eventID"])),
        "lacks column(s) eventID",
    ),
    "NaN": (
        lambda t, r: edepsim(t, r, x_start=(2, np.nan)),
        "'segments.x_start' has 1 of 4 values that are NaN or infinite, the first in row 2",
    ),
    "infinite": (lambda t, r: edepsim(t, r, dE=(slice(1, 3), np.inf)), "has 2 of 4 values"),
    "negative energy": (
        lambda t, r: edepsim(t, r, dE=(1, -4)),
        "'segments.dE' has 1 of 4 values below zero, the first (-4) in row 1",
    ),
    "negative length": (lambda t, r: edepsim(t, r, dx=(0, -1)), "'segments.dx' has 1 of 4"),
    "no segments": (lambda t, r: edepsim(t, np.zeros(0, LARNDSIM)), "holds no segments"),
    "no steps": (lambda t, r: write_dataset(t / "s.h5", "steps", np.zeros(0, STEPS)), "holds no segments"),
    "wrong unit": (
        lambda t, r: write_dataset(t / "s.h5", "steps", np.zeros(2, STEPS), length_unit="MeV"),
        "length_unit 'MeV'; expected a unit that converts to 'cm'",
    ),
    "steps without columns": (
        lambda t, r: write_dataset(t / "s.h5", "steps", np.zeros(2, STEPS)[["event", "x0"]]),
        "lacks column(s) track, pdg, y0",
    ),
    "no pstep events": (lambda t, r: write_pstep(t / "p.h5", []), "holds no segments"),
    "flat pstep": (
        lambda t, r: write_dataset(t / "p.h5", "pstep/lar_vol", r),
        "expected an array of steps for each event",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_named_in_one_line(tmp_path, larndsim_rows, case):
    make, message = CASES[case]
    path = make(tmp_path, larndsim_rows)
    with pytest.raises(InputError) as error:
        read_segments(path)
    text = str(error.value)
    assert message in text
    assert str(path) in text
    assert "\n" not in text


def delete(name):
    def change(file):
        del file[name]

    return change


def put(name, row, value):
    def change(file):
        file[name][row] = value

    return change


def attribute(name, key, value):
    return lambda file: file[name].attrs.modify(key, value)


NATIVE = {
    "newer version": (attribute("/", "version", 99), "format version 99"),
    "no version": (lambda f: f.attrs.__delitem__("version"), "attribute 'version' is missing"),
    "unit of another kind": (
        attribute("segments/de", "unit", "cm"),
        "unit 'cm'; expected a unit that converts",
    ),
    "unknown unit": (attribute("segments/x_start", "unit", "cubit2"), "unit 'cubit2'"),
    "no column": (delete("segments/t0"), "lacks column(s) t0; it has de, dx"),
    "no offsets": (delete("segments/event_offsets"), "event_offsets' is missing; expected 4 offsets"),
    "falling offsets": (put("segments/event_offsets", 1, 99), "must start at 0 and never fall"),
    "offsets too short": (lambda f: f["segments/event_offsets"].resize(2, 0), "has 2 values; expected 4"),
    "column too short": (lambda f: f["segments/de"].resize(2, 0), "has 2 rows, its event_offsets end at 5"),
    "repeated event": (put("events/number", 1, 2), "must rise without repetition"),
    "no events": (delete("events/number"), "'events/number' is missing"),
    "NaN": (put("segments/z_end", 3, np.nan), "'segments/z_end' has 1 of 5"),
    "negative energy": (put("segments/de", 0, -1), "'segments/de' has 1 of 5 values below zero"),
    "unknown readout": (attribute("readout/U", "kind", "Photographs"), "kind 'Photographs'; expected one of"),
}


@pytest.mark.parametrize("case", NATIVE)
def test_a_damaged_native_file_is_named_in_one_line(tmp_path, batch, run, case):
    change, message = NATIVE[case]
    path = tmp_path / "n.h5"
    write_native(path, batch, run)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputError) as error:
        read_native(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_foreign_file_is_no_native_file(tmp_path, larndsim_rows):
    with pytest.raises(InputError, match="is no native file"):
        read_native(edepsim(tmp_path, larndsim_rows))


@pytest.mark.parametrize("text", ["5", "a:b", "5:5", "7:3", "-1:2", ""])
def test_a_bad_range_of_events_is_refused(text):
    with pytest.raises(InputError, match="events"):
        events_slice(text)


def test_a_range_beyond_the_file_is_refused(tmp_path, larndsim_rows, batch, run):
    with pytest.raises(InputError, match="none of its 3 events"):
        read_segments(edepsim(tmp_path, larndsim_rows)).select("3:9")
    write_native(tmp_path / "n.h5", batch, run)
    with pytest.raises(InputError, match="none of its 3 events"):
        read_native(tmp_path / "n.h5", "3:9")


@pytest.mark.parametrize("how", ["middle", "1,2", "1,2,three", "1,2,3,w", "nan,0,0", "1,2,3,x,4"])
def test_a_bad_placement_lists_the_choices(tmp_path, larndsim_rows, module0, how):
    with pytest.raises(InputError, match="expected auto, file, random, or X,Y,Z"):
        place(read_segments(edepsim(tmp_path, larndsim_rows)), module0, how)


def test_bad_targets_are_refused(tmp_path, batch, run):
    write_native(tmp_path / "n.h5", batch, run)
    with pytest.raises(InputError, match="exists already"):
        write_native(tmp_path / "n.h5", batch, run)
    with pytest.raises(InputError, match="does not exist; make it first"):
        write_native(tmp_path / "no" / "n.h5", batch, run)
    with pytest.raises(InputError, match="is a folder"):
        NativeWriter(tmp_path, run)


def test_batches_that_do_not_fit_are_refused(tmp_path, batch, run):
    bad = {
        "must rise": replace(batch, event_numbers=np.array([5, 2, 11])),
        "expected indices below 2": replace(batch, event_numbers=np.array([2, 5])),
        "sum to 1": replace(batch, truth={"pads": replace(batch.truth["pads"], share=np.full(5, 0.3))}),
        "padding": replace(batch, truth={"pads": replace(batch.truth["pads"], segment=np.full(5, 5))}),
        "missing": replace(batch, particles={"event": np.arange(3)}),
    }
    for message, wrong in bad.items():
        with pytest.raises(ValueError, match=message):
            write_native(tmp_path / "n.h5", wrong, run)
    assert list(tmp_path.iterdir()) == []
