"""Challenges: a blinded calibration for a class, with data of a detector whose constants are hidden.

`new_challenge` makes a folder for those who take part,

    README.md            what to do
    challenge.json       which parameters are hidden, and the range in which each was drawn
    control_sample.h5    muons that stop, and what the hidden detector recorded of them (native format)
    submissions/         one JSON file a team

and beside it, for those who organise, FOLDER.truth.json. Neither the truth nor the seed is in the folder; the
configuration in the sample is the data sheet, where fits begin. The same seed makes the same challenge, so
who guesses it has the truth: without one a random seed is taken.
"""

import hashlib
import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

import dptoolkit
from dptoolkit.atomic import write_text
from dptoolkit.calibrate import Toy, in_batches
from dptoolkit.challenge_folder import HOW_TO, SAMPLE, SUBMISSIONS, TASK, digest, truth_file_of
from dptoolkit.config import load_tpc, source_text, to_yaml
from dptoolkit.detector import LArTPC
from dptoolkit.events import Hits
from dptoolkit.inference.calibration import calibrated, random_truth
from dptoolkit.io import Batch, EventFile, InputError, NativeWriter, Run
from dptoolkit.params import infos
from dptoolkit.scoring import TRUTH_SCHEMA, Envelope, HiddenParameter
from dptoolkit.sources.example import stopping_muon

SCHEMA = "dptoolkit.challenge/1"
SAMPLE_SEED = 2025
"""Of where the muons are: the same in every challenge, so that they tell nothing of its seed."""
LENGTH, PIECES = 8.0, 20
"""Of a muon [cm], and its segments."""
COLUMNS = ("start", "end", "de", "dx", "t0", "track", "pdg")
SEED_BITS = 32
OWN_DETECTOR = "detector.yaml"
"""In the folder, where the detector is none of those that come with the package."""


@dataclass(frozen=True)
class Challenge:
    """A challenge that was made."""

    folder: Path
    truth_file: Path
    envelope: Envelope


def new_challenge(
    folder: str | Path,
    detector: str = "small-pixel",
    *,
    seed: int | None = None,
    n_events: int = 16,
    force: bool = False,
) -> Challenge:
    """Make the folder and the file of the truth; `seed` None takes a random one."""
    folder, seed = Path(folder), secrets.randbits(SEED_BITS) if seed is None else seed
    truth_file = truth_file_of(folder)
    check_challenge_target(folder, force)
    model = load_tpc(detector)
    paths = calibrated(model)
    truth = random_truth(model, paths, _derived(seed, "truth"))
    staged = Path(tempfile.mkdtemp(dir=folder.absolute().parent, prefix=f".{folder.name}."))
    try:
        staged.chmod(0o755)
        _write_sample(staged / SAMPLE, model, truth, seed, n_events)
        envelope = Envelope(model.name, seed, digest(staged / SAMPLE), _hidden(model, paths, truth))
        write_text(staged / TASK, _json(SCHEMA, _task(envelope, model, n_events)))
        if Path(detector).suffix in (".yaml", ".yml"):
            write_text(staged / OWN_DETECTOR, source_text(detector))
            detector = OWN_DETECTOR
        write_text(staged / HOW_TO, how_to(envelope, detector))
        (staged / SUBMISSIONS).mkdir()
        write_text(truth_file, _json(TRUTH_SCHEMA, asdict(envelope)))
        truth_file.chmod(0o600)
        _put(staged, folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Challenge(folder, truth_file, envelope)


def check_challenge_target(folder: str | Path, force: bool) -> None:
    """An error unless a challenge can be made there."""
    folder, truth_file = Path(folder), truth_file_of(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected the name of a folder; choose another -o")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"{folder}: the folder {folder.parent} does not exist; make it first")
    if folder.exists() and any(folder.iterdir()) and not (folder / TASK).is_file():
        raise InputError(f"{folder}: holds other files; expected a new folder; choose another -o")
    if not force and (truth_file.exists() or (folder / TASK).exists()):
        raise InputError(
            f"{folder}: a challenge is there already; choose another -o or replace it with --force"
        )


def control_sample(detector: LArTPC, n_events: int) -> EventFile:
    """Muons that stop, one an event, evenly spread over the drift, in random directions."""
    rng, volumes = np.random.default_rng(SAMPLE_SEED), detector.volumes
    muons = []
    for number in range(n_events):
        volume = number % len(volumes)
        low = np.asarray(volumes.low, float)[volume] + LENGTH / 2
        high = np.asarray(volumes.high, float)[volume] - LENGTH / 2
        at = rng.uniform(size=3)
        at[np.abs(np.asarray(volumes.drift, float)[volume]).argmax()] = (number + 0.5) / n_events
        middle, direction = low + at * (high - low), rng.normal(size=3)
        muons.append(stopping_muon(tuple(middle.tolist()), tuple(direction.tolist()), LENGTH, PIECES))
    table = {name: np.concatenate([np.asarray(getattr(muon, name)) for muon in muons]) for name in COLUMNS}
    numbers = np.repeat(np.arange(n_events), PIECES)
    return EventFile.build(
        table, numbers, path=Path(SAMPLE), format="challenge", interactions=_times(n_events)
    )


def _times(n_events: int) -> dict[str, np.ndarray]:
    """Every event begins at 0 us; nothing is said of its place."""
    zeros = np.zeros(n_events)
    return {"event": np.arange(n_events), "x": zeros, "y": zeros, "z": zeros, "t0": zeros}


def _write_sample(path: Path, model: LArTPC, truth: dict[str, float], seed: int, n_events: int) -> None:
    file = control_sample(model, n_events)
    batches, firsts = in_batches(file)
    ends = [*np.searchsorted(file.event_numbers, firsts[1:]), n_events]
    toy, first = Toy(model, truth, noise=True, seed=_derived(seed, "noise")), 0
    note = {"command": "challenge", "detector_config": "the data sheet; the detector that recorded is hidden"}
    with NativeWriter(path, Run(to_yaml(model), model.name, None, False, note)) as writer:
        for segments, last in zip(batches, ends, strict=True):
            readout = {name: _measured(part) for name, part in toy.observe(segments, first).items()}
            writer.append(Batch.of(file.select(slice(first, int(last))), readout))
            first = int(last)


def _measured(part: Any) -> Any:
    """Without what only a simulation knows: the charge of a pad below its threshold."""
    if not isinstance(part, Hits):
        return part
    total = np.sum(part.charge * part.probability, axis=1)
    return eqx.tree_at(lambda hits: (hits.total, hits.left), part, (total, total))


def _hidden(model: LArTPC, paths: Sequence[str], truth: dict[str, float]) -> tuple[HiddenParameter, ...]:
    known, found = infos(model), []
    for path in paths:
        low, high = known[path].typical or (np.nan, np.nan)
        found.append(HiddenParameter(path, known[path].unit, low, high, truth[path]))
    return tuple(found)


def _task(envelope: Envelope, model: LArTPC, n_events: int) -> dict[str, Any]:
    known = infos(model)
    rows = []
    for one in envelope.parameters:
        said = {"path": one.path, "unit": one.unit, "low": one.low, "high": one.high}
        rows.append({**said, "data_sheet": float(f"{float(known[one.path].value):.6g}")})
    return {"detector": envelope.detector, "sample": SAMPLE, "events": n_events, "parameters": rows}


def _derived(seed: int, purpose: str) -> int:
    """A seed for one purpose, which other commands do not make of the same number."""
    text = f"dptoolkit challenge {seed} {purpose}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _json(schema: str, document: dict[str, Any]) -> str:
    whole = {"schema": schema, "version": dptoolkit.__version__, **document}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _put(staged: Path, folder: Path) -> None:
    """Give the complete folder its name; in an existing one its files are replaced one by one."""
    if not folder.exists():
        staged.replace(folder)
        return
    (folder / SUBMISSIONS).mkdir(exist_ok=True)
    for path in staged.iterdir():
        if path.is_file():
            path.replace(folder / path.name)


def how_to(envelope: Envelope, detector: str) -> str:
    """README.md of the folder."""
    rows = "\n".join(
        f"| `{one.path}` | {one.unit} | {one.low:g} to {one.high:g} |" for one in envelope.parameters
    )
    text = (resources.files("dptoolkit") / "challenge.md").read_text("utf-8")
    return text.format(detector=detector, rows=rows, sample=SAMPLE)
