"""How far reconstructed charge lies from the truth, and how much of it there is.

Both sides are cut into pieces shorter than `FINE`, each with its charge. The distance of a fitted piece to
the nearest true one says how true what was found is; that of a true piece to the nearest fitted one how
much was found (coverage). Electrons freed are compared where the detector is known, since energy is only
seen through them; else energy.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from dptoolkit.detector import LArTPC
from dptoolkit.events import Segments, bucket, pad, take

FINE = 0.01
"""Longest piece into which segments are cut [cm]."""
FINER = 0.001
"""The same where energy is dealt to segments, which are known better than that [cm]."""
COVERED = 0.5
"""True charge within this distance of fitted charge counts as found [cm]."""

Cloud = tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"], Int[np.ndarray, " m"]]
"""Places [cm], charges, and the segment that each belongs to."""


@dataclass(frozen=True)
class SegmentDistances:
    """Fitted against true segments of one event; distances are weighted with charge [mm]."""

    charge_fraction: float
    """Fitted over true charge, minus 1."""
    median: float
    """Of the distance of fitted charge to the truth."""
    p68: float
    mean: float
    coverage_median: float
    """Of the distance of true charge to what was fitted."""
    coverage_p68: float
    covered: float
    """Share of the true charge within `COVERED`."""
    unit: str
    """What is called charge here: electrons, or MeV."""

    def report(self) -> dict[str, float | str]:
        """Flat, for tables and JSON."""
        return {
            "charge_fraction": self.charge_fraction,
            "distance_median_mm": self.median,
            "distance_p68_mm": self.p68,
            "distance_mean_mm": self.mean,
            "coverage_median_mm": self.coverage_median,
            "coverage_p68_mm": self.coverage_p68,
            "covered_fraction": self.covered,
            "charge_unit": self.unit,
        }


def distances(found: Segments, truth: Segments, detector: LArTPC | None = None) -> SegmentDistances:
    """Compare the segments of one event; with a `detector`, electrons freed in its drift volumes.

    A time projection chamber knows one time of the event, the `t0` of what was found: true charge of another
    time, such as that of the electron from a decay, is compared where it appears to be along the drift.
    """
    found, truth = (jax.tree.map(jnp.asarray, part) for part in (found, truth))
    mine, theirs = (_freed(part, detector) for part in (found, truth))
    if detector is not None:
        truth = _apparent(truth, float(np.min(np.asarray(found.t0))), detector)
    for name, charge in (("found", mine), ("truth", theirs)):
        if not charge.sum() > 0:
            raise ValueError(f"{name}: holds no charge in the active volume; expected deposits to compare")
    (places, weight, _), (true_places, true_weight, _) = _sampled(found, mine), _sampled(truth, theirs)
    away = 10 * KDTree(true_places).query(places)[0]
    missed = 10 * KDTree(places).query(true_places)[0]
    return SegmentDistances(
        charge_fraction=float(mine.sum() / theirs.sum() - 1),
        median=quantile(away, weight, 0.5),
        p68=quantile(away, weight, 0.68),
        mean=float(np.average(away, weights=weight)),
        coverage_median=quantile(missed, true_weight, 0.5),
        coverage_p68=quantile(missed, true_weight, 0.68),
        covered=float(true_weight[missed < 10 * COVERED].sum() / true_weight.sum()),
        unit="MeV" if detector is None else "electrons",
    )


def energy_nearest(found: Segments, truth: Segments) -> Float[np.ndarray, " n"]:
    """The true energy [MeV] that lies nearest to each found segment: what its `de` should be."""
    places, _, owner = _sampled(found, _freed(found, None), FINER)
    true_places, energy, _ = _sampled(truth, _freed(truth, None), FINER)
    nearest = owner[KDTree(places).query(true_places)[1]]
    return np.bincount(nearest, energy, minlength=len(found))


def quantile(values: Float[np.ndarray, " n"], weight: Float[np.ndarray, " n"], level: float) -> float:
    """The value below which a share `level` of the weight lies."""
    order = np.argsort(values)
    passed = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(passed, level * passed[-1])])


def _freed(segments: Segments, detector: LArTPC | None) -> Float[np.ndarray, " n"]:
    """Charge of every segment: electrons freed in the drift volumes, or energy where no detector is given."""
    if detector is None:
        return np.where(np.asarray(segments.valid), np.asarray(segments.de, float), 0.0)
    padded = pad(segments, bucket(len(segments)))
    deposits = detector.cut(padded)
    inside = np.zeros(len(padded))
    np.add.at(inside, deposits.segment, deposits.high - deposits.low)
    freed, _ = detector.freed(padded, deposits)
    return (np.asarray(freed, float) * inside)[: len(segments)]


def _apparent(segments: Segments, t0: float, detector: LArTPC) -> Segments:
    """The segments moved against the drift by how far charge drifts from `t0` to their own time."""
    middle = (np.asarray(segments.start, float) + np.asarray(segments.end, float)) / 2
    volume = np.maximum(detector.volumes.locate(middle), 0)
    speed = float(detector.drift.speed(detector.field.nominal()))
    late = speed * (np.asarray(segments.t0, float) - t0)
    by = jnp.asarray(-late[:, None] * detector.volumes.drift[volume], segments.start.dtype)
    return eqx.tree_at(lambda s: (s.start, s.end), segments, (segments.start + by, segments.end + by))


def _sampled(segments: Segments, charge: Float[np.ndarray, " n"], fine: float = FINE) -> Cloud:
    """Pieces no longer than `fine`, each at its middle, with its part of the charge and its segment."""
    used = np.flatnonzero(charge > 0)
    segments, charge = take(segments, used), charge[used]
    start, end = np.asarray(segments.start, float), np.asarray(segments.end, float)
    count = np.maximum(1, np.ceil(np.linalg.norm(end - start, axis=1) / fine)).astype(int)
    row = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    part = (number + 0.5) / count[row]
    return start[row] + part[:, None] * (end - start)[row], charge[row] / count[row], used[row]
