"""Visibility tables: what plates see of photons made in each voxel, and how the photons of argon fill them.

A table lives in a file that may be larger than memory: rows are written as they are made and read as they
are needed. An interrupted one stays as NAME.partial and is completed from there.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

import dptoolkit
from dptoolkit.light.argon_optics import ArgonOptics
from dptoolkit.light.box import LightBox
from dptoolkit.light.plates import Plates
from dptoolkit.light.transport import AbstractEstimator, CountedPhotons, ExpectedPhotons, trace
from dptoolkit.light.visibility import AbstractVisibility
from dptoolkit.params import infos, replace
from dptoolkit.surrogates.files import Group, labelled, on_disk, opened

KIND, VERSION = "visibility-table", 1
ESTIMATORS: dict[str, type[AbstractEstimator]] = {"photons": CountedPhotons, "expected": ExpectedPhotons}
"""How photons are told; the words of files and options."""
AT_ONCE = 8192
"""Points that are traced together."""
ROUNDS = 4
"""Independent parts of the photons of a point, from whose spread errors are known."""


class VisibilityTable(AbstractVisibility):
    """Values in the middle of voxels, linear between them."""

    low: Float[np.ndarray, " 3"]
    """Corner of the first voxel, from the middle of the drift volume [cm]."""
    high: Float[np.ndarray, " 3"]
    seen: Float[Array | np.ndarray, "x y z p"]
    """Probability to arrive."""
    delay: Float[Array | np.ndarray, "x y z p"]
    """Mean time of the way [ns]; 0 where nothing arrived."""
    photons: float = eqx.field(static=True, default=1e6)
    """How many at each point, if counted one by one, would have its noise."""

    @classmethod
    def from_file(cls, path: str | Path) -> "VisibilityTable":
        """Read into memory; raises `ValueError` if it is no complete table."""
        mapped = cls.mapped(path)
        return eqx.tree_at(
            lambda t: (t.seen, t.delay), mapped, (jnp.asarray(mapped.seen), jnp.asarray(mapped.delay))
        )

    @classmethod
    def mapped(cls, path: str | Path) -> "VisibilityTable":
        """Left on disk, from where rows are read when they are needed."""
        with opened(path, KIND, VERSION) as file:
            shape = (*(int(n) for n in file.attrs["shape"]), -1)
            columns = [on_disk(path, file[name]).reshape(shape) for name in ("seen", "delay")]
            ends = [np.asarray(file.attrs[name], float) for name in ("low", "high")]
            photons = float(file.attrs["photons"])
        return cls(ends[0], ends[1], columns[0], columns[1], photons)

    def __call__(
        self, points: Float[Array, "n 3"], plates: Plates
    ) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
        if self.seen.shape[3] != len(plates):
            raise ValueError(f"a visibility table of {self.seen.shape[3]} plates: expected {len(plates)}")
        real, shape = points.dtype, np.array(self.seen.shape[:3])
        size = jnp.asarray((self.high - self.low) / shape, real)
        at = (points - jnp.asarray(self.low, real)) / size - 0.5
        first = jnp.clip(jnp.floor(jax.lax.stop_gradient(at)), 0, jnp.asarray(np.maximum(shape - 2, 0), real))
        part, first = at - first, first.astype(int)
        seen, late = jnp.asarray(self.seen, real), jnp.asarray(self.delay, real)
        total = total_late = jnp.zeros((len(points), len(plates)), real)
        for corner in np.ndindex(2, 2, 2):
            index = jnp.minimum(first + np.array(corner), shape - 1)
            weights = jnp.where(np.array(corner) == 1, part, 1 - part)
            weight = (weights[:, 0] * weights[:, 1] * weights[:, 2])[:, None]
            here = seen[index[:, 0], index[:, 1], index[:, 2]]
            total += weight * here
            total_late += weight * here * late[index[:, 0], index[:, 1], index[:, 2]]
        lit = total > 0
        delay = jnp.where(lit, total_late / jnp.where(lit, total, 1.0), 0.0)
        return jnp.where(lit, total, 0.0), delay

    def __len__(self) -> int:
        return int(np.prod(self.seen.shape[:3]))

    @property
    def size(self) -> int:
        """Number of values of the probability."""
        return int(np.prod(self.seen.shape))

    def points(self, voxel: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """Middles of voxels by their number [cm]."""
        return middles(self.low, self.high, self.seen.shape[:3], voxel)

    def rows(self, voxel: Int[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "n p"], Float[np.ndarray, "n p"]]:
        """(probability, delay [ns]) of voxels by their number."""
        index = np.unravel_index(voxel, self.seen.shape[:3])
        return np.asarray(self.seen[index]), np.asarray(self.delay[index])


@dataclass(frozen=True)
class Filling:
    """How visibilities are computed by photons, for a table or at any points."""

    box: LightBox
    optics: ArgonOptics = field(default_factory=ArgonOptics)
    estimator: str = "expected"
    """One of `ESTIMATORS`."""
    photons: int = 256
    """From each point; in `ROUNDS` independent parts, rounded up to as many."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator {self.estimator!r}: expected one of {', '.join(ESTIMATORS)}")
        if self.photons < 1:
            raise ValueError(f"photons = {self.photons}: expected at least 1 from each point")

    @property
    def in_round(self) -> int:
        """Photons of one of the independent parts."""
        return -(-self.photons // ROUNDS)

    def at(self, points: Float[np.ndarray, "n 3"], number: Int[np.ndarray, " n"]) -> "Seen":
        """From points [cm]; each has the random numbers of its `number`, whatever else is computed."""
        estimator, count = ESTIMATORS[self.estimator](), jnp.asarray(self.in_round, jnp.int32)
        rounds = []
        for part in range(ROUNDS):
            key = jax.random.fold_in(jax.random.key(self.seed), part)
            rounds.append(
                _trace(self.box, self.optics, estimator, jnp.asarray(points), count, key, jnp.asarray(number))
            )
        seen, way = (np.asarray(sums, np.float64) / self.in_round for sums in zip(*rounds, strict=True))
        mean = seen.mean(axis=0)
        delay = way.mean(axis=0) / np.where(mean > 0, mean, 1.0) / float(self.optics.speed)
        return Seen(mean, delay, seen.std(axis=0, ddof=1) / np.sqrt(ROUNDS))

    def described(self) -> dict[str, Any]:
        """All that matters, for a file."""
        optics = {path: float(info.value) for path, info in infos(self.optics).items()}
        plates = {part.name: getattr(self.box.plates, part.name).tolist() for part in fields(Plates)}
        shared = {"estimator": self.estimator, "photons": self.photons, "seed": self.seed, "optics": optics}
        return {**shared, "walls": [self.box.low.tolist(), self.box.high.tolist()], "plates": plates}


@dataclass(frozen=True)
class Seen:
    """What plates see of photons made at points."""

    probability: Float[np.ndarray, "n p"]
    delay: Float[np.ndarray, "n p"]
    """Mean [ns]; 0 where nothing arrived."""
    error: Float[np.ndarray, "n p"]
    """Standard error of the probability."""


def middles(
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    shape: tuple[int, ...],
    voxel: Int[np.ndarray, " n"],
) -> Float[np.ndarray, "n 3"]:
    """Of voxels by their number [cm]."""
    index = np.stack(np.unravel_index(voxel, shape), axis=1)
    return low + (index + 0.5) * (high - low) / np.array(shape)


def fill(
    path: str | Path,
    filling: Filling,
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    shape: tuple[int, int, int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Make the file of a table of `shape` voxels between two corners [cm].

    What an interrupted call left with the same numbers is completed; raises `ValueError` if another table is
    there.
    """
    path = Path(path)
    growing = path.with_name(f"{path.name}.partial")
    plan = json.dumps([filling.described(), low.tolist(), high.tolist(), shape])
    total = int(np.prod(shape))
    begun = [there for there in (path, growing) if there.exists()]
    for there in begun:
        if plan_of(there) != plan:
            raise ValueError(f"{there}: was made with other options; expected the same, or another folder")
    if path in begun:
        return path
    with h5py.File(growing, "r+" if begun else "w") as opening:
        file: Group = opening
        if "plan" not in file.attrs:
            _prepare(file, plan, low, high, shape, len(filling.box.plates))
        while (done := int(file.attrs["done"])) < total:
            voxel = np.arange(done, min(done + AT_ONCE, total))
            found = filling.at(middles(low, high, shape, voxel), voxel)
            file["seen"][voxel[0] : voxel[-1] + 1] = found.probability
            file["delay"][voxel[0] : voxel[-1] + 1] = found.delay
            noise = np.array([np.sum(found.error**2), np.sum(found.probability)])
            file.attrs["noise"] = file.attrs["noise"] + noise
            file.attrs["done"] = int(voxel[-1]) + 1
            file.flush()
            progress(int(voxel[-1]) + 1, total)
        file.attrs["photons"] = _photons(filling, *file.attrs["noise"])
    growing.replace(path)
    return path


def plan_of(path: str | Path) -> str:
    """How the table of a file was made, as JSON."""
    with opened(path, KIND, VERSION) as file:
        return str(file.attrs["plan"])


def filling_of(path: str | Path, box: LightBox) -> Filling:
    """How the table of a file was made; raises `ValueError` if that was in another box."""
    made = json.loads(plan_of(path))[0]
    optics = replace(ArgonOptics(), made.pop("optics"))
    filling = Filling(box, optics, made["estimator"], made["photons"], made["seed"])
    if {**filling.described(), "optics": None} != {**made, "optics": None}:
        raise ValueError(f"{path}: was made for other walls or collectors; expected those of the detector")
    return filling


def _photons(filling: Filling, variance: float, probability: float) -> float:
    """How many counted photons have the noise of the table: expected ones are worth several each.

    Their variance is proportional to the probability as that of counts is, in 2x2 within a fifth from 5e-4 to
    0.1, since a rare scatter next to a plate is what tells of dim places.
    """
    if filling.estimator == "photons" or not variance > 0:
        return float(filling.in_round * ROUNDS)
    return float(probability / variance)


def _prepare(
    file: Group,
    plan: str,
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    shape: tuple[int, int, int],
    n_plates: int,
) -> None:
    labelled(file, KIND, VERSION)
    values = {
        "dptoolkit_version": dptoolkit.__version__,
        "shape": shape,
        "low": low,
        "high": high,
        "unit": "cm",
    }
    for name, value in {**values, "done": 0, "noise": np.zeros(2), "plan": plan}.items():
        file.attrs[name] = value
    for name, unit in (("seen", "1"), ("delay", "ns")):
        column = file.create_dataset(name, (int(np.prod(shape)), n_plates), np.float32)
        column.attrs["unit"] = unit


@eqx.filter_jit
def _trace(
    box: LightBox,
    optics: ArgonOptics,
    estimator: AbstractEstimator,
    points: Float[Array, "n 3"],
    photons: Int[Array, ""],
    key: Key[Array, ""],
    number: Int[Array, " n"],
) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
    keys = jax.vmap(partial(jax.random.fold_in, key))(number)
    return trace(box, optics, estimator, points, photons, keys)
