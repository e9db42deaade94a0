"""Points in space from the charge on the wires of several planes: tomography in slices of time.

A wire knows where charge is across it, and two wires cross at one point. Candidates are the crossings of
two wires that have charge at the same time, if the wires of the third plane that pass there have some as
well. The charge is then shared among them by expectation maximisation (each candidate gets what its wires
have, in proportion to what it has; L. A. Shepp, Y. Vardi 1982). Where too many wires have charge at once,
that leaves ghosts: sums along wires do not say on which side of a rhombus charge lies. They are faint and
spread, and each round prefers candidates in whose neighbourhood there is more charge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from dptoolkit.charge.wires import WirePlane
from dptoolkit.detector import LArTPC
from dptoolkit.reconstruction.deconvolution import ChargeImage, charge_image

TICKS = 2
"""Of a slice of time."""
ROUNDS = 30
"""Of expectation maximisation."""
NEIGHBOURHOOD = 0.8
"""Distance over which charge supports a candidate [cm]."""
PREFERENCE = 0.25
"""Power of the support by which a candidate grows in a round."""
FAINT = 150.0
"""Candidates with less are dropped [electrons]."""


@dataclass(frozen=True)
class Candidates:
    """Crossings of wires in one drift volume: where, when, and the wire of every plane, as real numbers."""

    across: Float[np.ndarray, " n"]
    up: Float[np.ndarray, " n"]
    slice: Int[np.ndarray, " n"]
    wire: Float[np.ndarray, "n p"]


def wire_points(
    readout: Mapping[str, Any], detector: LArTPC, t0: float
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]]:
    """(places [cm], electrons at the anode) of the charge in an event."""
    planes: Any = list(detector.planes)
    speed = float(detector.drift.speed(detector.field.nominal()))
    points, charges = [np.zeros((0, 3))], [np.zeros(0)]
    for volume in range(len(detector.volumes)):
        found = [charge_image(readout[plane.name], plane, volume) for plane in planes]
        images = [_in_time(image, plane, speed) for image, plane in zip(found, planes, strict=True) if image]
        if len(images) < len(planes):
            continue
        candidates = find_candidates(images, planes, detector.volumes.face)
        if len(candidates.slice) == 0:
            continue
        distance = ((candidates.slice + 0.5 - 0.5 / TICKS) * TICKS * planes[0].tick_period - t0) * speed
        where = np.full(len(distance), volume)
        places = detector.volumes.to_global(candidates.across, candidates.up, distance, where)
        charge = shared_charge(candidates, images, places)
        points.append(places[charge > FAINT])
        charges.append(charge[charge > FAINT])
    return np.concatenate(points), np.concatenate(charges)


def _in_time(image: ChargeImage, plane: WirePlane, speed: float) -> ChargeImage:
    """In slices of the time at which charge passes the anode's reference plane."""
    delay = plane.distance / speed / plane.tick_period
    whole = int(np.floor(delay))
    part = delay - whole
    charge = np.pad(image.charge, ((0, 0), (1, 0)))
    earlier = (1 - part) * charge[:, 1:] + part * np.append(charge[:, 2:], charge[:, :1] * 0, axis=1)
    moved = ChargeImage(earlier, image.first_wire, image.first_tick - whole, image.read, image.dead)
    return moved.binned(TICKS)


def find_candidates(
    images: list[ChargeImage], planes: list[WirePlane], face: tuple[float, float]
) -> Candidates:
    """Crossings of the last, collecting plane's wires with those of each other plane."""
    collected, others = len(planes) - 1, range(len(planes) - 1)
    grown = [_Grown(image) for image in images]
    parts = []
    wires, slices = np.nonzero(images[collected].occupied)
    wires, slices = wires + images[collected].first_wire, slices + images[collected].first_tick
    for moment in np.unique(slices).tolist():
        here = wires[slices == moment]
        for other in others:
            found = _crossings(here, grown, planes, (collected, other), moment)
            parts.append(_confirmed(found, grown, (collected, other)))
    if not parts:
        return Candidates(np.zeros(0), np.zeros(0), np.zeros(0, int), np.zeros((0, len(planes))))
    merged = Candidates(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("across", "up", "slice", "wire"))
    )
    on_face = (np.abs(merged.across) <= face[0] / 2) & (np.abs(merged.up) <= face[1] / 2)
    return _chosen(merged, on_face)


def shared_charge(
    candidates: Candidates, images: list[ChargeImage], places: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Charge of every candidate: what its wires have, shared, and preferring what holds together."""
    shares = [_shares(candidates, image, plane) for plane, image in enumerate(images)]
    seen = np.sum([share.sum(axis=0) for share in shares], axis=0)
    data = [np.maximum(image.charge, 0.0).ravel() for image in images]
    near = KDTree(places).sparse_distance_matrix(KDTree(places), NEIGHBOURHOOD, output_type="coo_matrix")
    support = csr_array((1 - near.data / NEIGHBOURHOOD, (near.row, near.col)), shape=(len(places),) * 2)
    charge = np.full(len(places), data[-1].sum() / len(places))
    for round_ in range(ROUNDS):
        ratios = [_ratio(share, measured, charge) for share, measured in zip(shares, data, strict=True)]
        charge = charge * np.sum(ratios, axis=0) / np.maximum(seen, 1e-3)
        if round_ < ROUNDS - 5:
            dense = support @ charge
            charge = charge * np.maximum(dense / max(np.average(dense, weights=charge), 1e-9), 1e-3) ** (
                PREFERENCE
            )
    charge = np.where(charge > FAINT, charge, 0.0)
    for _ in range(2):  # the collecting plane measures charge best
        charge = charge * _ratio(shares[-1], data[-1], charge)
    return charge


def _ratio(share: csr_array, measured: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """Measured over expected charge, as every candidate sees it on its wires."""
    expected = share @ charge
    quotient = np.where(expected > 1.0, measured / np.maximum(expected, 1.0), 0.0)
    return share.T @ quotient


def _shares(candidates: Candidates, image: ChargeImage, plane: int) -> csr_array:
    """Which part of a candidate's charge is on which bin of the image: on the two wires next to it."""
    n_wires, n_slices = image.charge.shape
    lower = np.floor(candidates.wire[:, plane] + 1e-6).astype(int)
    part = np.clip(candidates.wire[:, plane] - lower, 0.0, 1.0)
    moment = candidates.slice - image.first_tick
    rows, columns, values = [], [], []
    for wire, weight in ((lower, 1 - part), (lower + 1, part)):
        row = wire - image.first_wire
        kept = (row >= 0) & (row < n_wires) & (moment >= 0) & (moment < n_slices) & (weight > 1e-3)
        kept &= ~image.dead[np.clip(row, 0, n_wires - 1)]
        rows.append(row[kept] * n_slices + moment[kept])
        columns.append(np.flatnonzero(kept))
        values.append(weight[kept])
    shape = (n_wires * n_slices, len(lower))
    return csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


class _Grown:
    """Where a plane has charge, give or take a wire and a slice; what is dead might have."""

    def __init__(self, image: ChargeImage):
        self.first_wire, self.first = image.first_wire, image.first_tick
        self.later: Bool[np.ndarray, "w t"] = binary_dilation(image.occupied, np.ones((1, 3), bool))
        around = binary_dilation(image.occupied, np.ones((3, 3), bool))
        self.around: Bool[np.ndarray, "w t"] = around | image.dead[:, None]

    def wires(self, moment: int) -> Int[np.ndarray, " n"]:
        """With charge at this time, about."""
        if not 0 <= moment - self.first < self.later.shape[1]:
            return np.zeros(0, int)
        return np.flatnonzero(self.later[:, moment - self.first]) + self.first_wire

    def at(self, wire: np.ndarray, moment: np.ndarray) -> Bool[np.ndarray, " n"]:
        """Whether there is charge near these wires and times."""
        row, column = np.rint(wire).astype(int) - self.first_wire, moment - self.first
        inside = (row >= 0) & (row < self.around.shape[0]) & (column >= 0) & (column < self.around.shape[1])
        return inside & self.around[np.where(inside, row, 0), np.where(inside, column, 0)]


def _crossings(
    here: np.ndarray, grown: list[_Grown], planes: list[WirePlane], pair: tuple[int, int], moment: int
) -> Candidates:
    """All crossings of the wires `here` of one plane with those of another that have charge then."""
    a, b = (planes[i] for i in pair)
    one, two = (part.ravel() for part in np.meshgrid(here, grown[pair[1]].wires(moment), indexing="ij"))
    matrix = np.array([[np.cos(p.angle), np.sin(p.angle)] for p in (a, b)])
    offset = [
        (wire - (p.n_wires - 1) / 2) * p.pitch for wire, p in ((one.astype(float), a), (two.astype(float), b))
    ]
    across, up = np.linalg.solve(matrix, np.array(offset))
    wire = np.stack([np.asarray(plane.wire_at(across, up)) for plane in planes], axis=1)
    return Candidates(across, up, np.full(len(one), moment), wire)


def _confirmed(found: Candidates, grown: list[_Grown], pair: tuple[int, int]) -> Candidates:
    """Those at which every plane has charge."""
    seen = np.ones(len(found.slice), bool)
    for plane, image in enumerate(grown):
        if plane not in pair:
            seen &= image.at(found.wire[:, plane], found.slice)
    return _chosen(found, seen)


def _chosen(found: Candidates, rows: np.ndarray) -> Candidates:
    return Candidates(found.across[rows], found.up[rows], found.slice[rows], found.wire[rows])
