"""Charge induced on square pads by one straight-drifting electron, as a short sum of separable terms.

The weighting potential of a flat pad in a grounded plane is the solid angle it subtends over 2 pi
(Ramo, Proc. IRE 27 (1939) 584; Shockley, J. Appl. Phys. 9 (1938) 635). An electron at height z above
the plane has therefore induced Q(x, y, z) = w(x, y, z) on a pad at offset (x, y), and at z = 0 it is
collected: Q = 1 in the pad's own pitch cell, 0 elsewhere. The Poisson kernel of the half space,
z / (2 pi (r2 + z2)^(3/2)), is a mixture of round Gaussians, so w is a mixture of products
box(x) * Gauss(x)  times  box(y) * Gauss(y): about eight widths give it to 3e-4.

Conventions, which every table here keeps:

* Tables are in height [cm], so the drift velocity stays a free parameter: z = v (t_arrival - t).
* Every electron comes from beyond `REACH_PITCHES` pitches. The far, slow part of w is switched off by a
  smooth c(z), 1 over the nearer half of the reach and 0 at its end, so each signal starts at exactly 0
  and its integral is exactly 1 or 0. The price is at most 0.011 electron, induced late.
* Pads beyond `n_neighbours` are left out. The charge on them depends a little (1 %) on the place in the
  cell; this is evened out over the cell, so that the pads of the window sum to `total(z)` everywhere.
* The plane collects as if the pads tiled it: every field line that reaches a pitch cell ends on its pad.
  A pad smaller than the pitch only narrows the induction, as one pad in a grounded plane; the charge
  induced on the gap moves to the pad over the last node spacing, where real field lines bend to it.
  Then the sum over pads is exact at collection only, and `total` is its mean over the cell.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr, zeta

REACH_PITCHES = 4.0
# The shortest diffusion and shaping in use: errors of the current are judged after this smoothing [cm].
CURRENT_RESOLUTION = 0.02
MAX_WIDTHS = 16
# A tabulated path has ended when all but this fraction of the electron has been seen.
ARRIVED = 1e-3


@dataclass(frozen=True)
class PadResponse:
    """Q(x, y, z) = sum_r p_r(x) p_r(y) b_r(z), the charge [electrons] induced on a pad.

    `nodes` (n_x) are offsets from the pad centre and `heights` (n_z) start at the end of collection [cm];
    `factors` p (r, n_x), `profiles` b (r, n_z). Each node carries a hat function: p is linear between the
    nodes and falls to zero within one spacing beyond the last, which holds half of its value. b is linear
    too, keeps its first value below the heights and is zero above. Term 0 collects: p_0 is the pitch cell,
    1/2 on its edge, and at the first height b_0 = 1 and all other b = 0. `total` is the sum over the pads.
    """

    pitch: float
    nodes: np.ndarray
    heights: np.ndarray
    factors: np.ndarray
    profiles: np.ndarray
    total: np.ndarray

    def charge(self) -> np.ndarray:
        """Q at all nodes: (n_x, n_x, n_z)."""
        return np.einsum("ri,rj,rz->ijz", self.factors, self.factors, self.profiles, optimize=True)

    def sharpened(self) -> "PadResponse":
        """The same with the widening by linear interpolation removed, for deposits of half a spacing or more.

        Sampling and hats add h2/12 per axis to smooth functions and h2/6 to the cell's edge, h the spacing.
        Subtracting that times the second difference keeps the sums; p_0 at an edge is 13/12, 1/2, -1/12.
        """
        p = np.pad(self.factors, ((0, 0), (2, 2)))
        excess = np.where(np.arange(len(p)) == 0, 1 / 6, 1 / 12)[:, None]
        factors = p[:, 1:-1] - excess * (p[:, 2:] - 2 * p[:, 1:-1] + p[:, :-2])
        h = self.nodes[1] - self.nodes[0]
        nodes = np.concatenate([self.nodes[:1] - h, self.nodes, self.nodes[-1:] + h])
        return replace(self, nodes=nodes, factors=factors)


def pad_weighting_potential(x, y, z, width, gap=None, n_images=20) -> np.ndarray | np.floating:
    """Weighting potential of a square pad of side `width` [cm] around the origin of a grounded plane.

    `gap` [cm] puts a grounded cathode at that height: images of alternate sign at 2 k gap +- z up to
    k = `n_images`, the rest as the potential of a distant dipole. z >= 0; on the plane w is the indicator.
    """
    x, y, z = (np.asarray(c, dtype=float) for c in (x, y, z))
    angle = _solid_angle(x, y, z, width)
    if gap is not None:
        for k in range(1, n_images + 1):
            image = 2 * k * gap
            angle = angle + _solid_angle(x, y, image + z, width) - _solid_angle(x, y, image - z, width)
        angle = angle - width**2 * z / (2 * gap**3) * zeta(3, n_images + 1)
    return angle / (2 * np.pi)


def build_pad_response(
    pitch: float,
    pad: float | None = None,
    gap: float | None = None,
    dz: float = 0.016,
    n_neighbours: int = 2,
    nodes_per_pitch: int = 10,
    tolerance: float = 3e-4,
) -> PadResponse:
    """Closed-form response of pads of side `pad` at `pitch`, under a cathode at `gap` (all [cm]).

    `tolerance` bounds the relative L2 error, against the nodes of the closed form, of Q and of the current
    dQ/dz smoothed by `CURRENT_RESOLUTION`. `dz` [cm] is rounded down to divide the reach.
    """
    pad = pitch if pad is None else pad
    _check(pitch, pad, gap, nodes_per_pitch, tolerance)
    if dz <= 0:
        raise ValueError(f"dz = {dz} cm: must be positive")
    reach = REACH_PITCHES * pitch if gap is None else min(REACH_PITCHES * pitch, gap)
    heights = np.linspace(0.0, reach, max(2, math.ceil(reach / dz)) + 1)
    window = _Window(pitch, n_neighbours, nodes_per_pitch)
    cut = window.cut if pad < pitch else window.evening @ window.cut
    charge = pad_weighting_potential(window.half[:, None, None], window.half[:, None], heights, pad, gap)
    charge = np.einsum("ia,jb,abz->ijz", cut, cut, charge, optimize=True) * _switch_on(heights, reach)
    charge[..., 0], charge[..., -1] = np.outer(window.box, window.box), 0.0

    def blurred_pad(width):
        return cut @ (ndtr((window.half + pad / 2) / width) - ndtr((window.half - pad / 2) / width))

    factors = _mixture(charge, heights, window, blurred_pad, tolerance)
    return _response(charge, heights, window, factors)


def tabulated_pad_response(
    table: np.ndarray,
    sampling_us: float,
    bin_cm: float,
    pitch: float,
    velocity: float,
    tolerance: float = 1e-3,
) -> PadResponse:
    """Response from a finite-element table of currents (n, n, n_t): one quadrant around the pad centre.

    Bin i is centred at (i + 1/2) `bin_cm` and the last axis is time. `velocity` [cm/us] is the one of the
    calculation. Height 0 is the arrival over the pad's centre; paths that end later have z < 0. `total` is
    the mean over the cell, because the paths over a pad's edge are longer.
    """
    nodes_per_pitch = round(pitch / bin_cm)
    _check(pitch, pitch, None, nodes_per_pitch, tolerance)
    n_neighbours = (table.shape[0] - nodes_per_pitch // 2) // nodes_per_pitch
    window = _Window(pitch, n_neighbours, nodes_per_pitch)
    n_bins = window.half.size - 1
    if table.ndim != 3 or table.shape[:2] != (n_bins, n_bins):
        raise ValueError(
            f"table: shape {table.shape} is not a quadrant of (odd number) pitch / (2 bin_cm) bins"
        )
    charge = np.cumsum(table, axis=-1) * sampling_us
    charge = np.concatenate([np.zeros((n_bins, n_bins, 1)), charge], axis=-1)
    arrival = np.interp(0.999, charge[0, 0], np.arange(charge.shape[-1]))
    moving = np.abs(charge - charge[..., -1:]).max(axis=(0, 1)) > ARRIVED
    last = np.max(np.nonzero(moving)) + 1
    heights = (arrival - last + np.arange(last + 1)) * sampling_us * velocity
    mirrored = np.pad(
        np.pad(charge[..., last::-1], ((1, 0), (1, 0), (0, 0)), "edge"), ((0, 1), (0, 1), (0, 0))
    )
    at_nodes = (mirrored[1:, 1:] + mirrored[:-1, 1:] + mirrored[1:, :-1] + mirrored[:-1, :-1]) / 4
    at_nodes[..., 0] = np.outer(window.box, window.box)
    return _response(at_nodes, heights, window, _eigenfunctions(at_nodes, heights, window, tolerance))


def _check(pitch: float, pad: float, gap: float | None, nodes_per_pitch: int, tolerance: float) -> None:
    if not 0 < pad <= pitch:
        raise ValueError(f"pad = {pad} cm: a pad has 0 < pad <= pitch = {pitch} cm")
    if gap is not None and gap <= 0:
        raise ValueError(f"gap = {gap} cm: the cathode is above the pads, gap > 0, or None for no cathode")
    if nodes_per_pitch < 2 or nodes_per_pitch % 2:
        raise ValueError(f"nodes_per_pitch = {nodes_per_pitch}: must be even, for a node on the pad's edge")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance = {tolerance}: a relative error between 0 and 1")


def _solid_angle(x, y, z, width) -> np.ndarray | np.floating:
    """Solid angle [sr] of a square at height z: four corners, each atan(a b / (z sqrt(a2 + b2 + z2)))."""

    def corner(a, b):
        return np.arctan2(a * b, z * np.sqrt(a**2 + b**2 + z**2))

    h = width / 2
    return corner(x + h, y + h) - corner(x - h, y + h) - corner(x + h, y - h) + corner(x - h, y - h)


def _switch_on(heights: np.ndarray, reach: float) -> np.ndarray:
    """1 up to half of the reach, then cos2 down to 0 at the reach."""
    far = np.clip(2 * heights / reach - 1, 0, 1)
    return np.cos(np.pi / 2 * far) ** 2


class _Window:
    """Even functions at the offsets 0 ... (n_neighbours + 1/2) pitch, and their sums over the pads."""

    def __init__(self, pitch: float, n_neighbours: int, nodes_per_pitch: int):
        if n_neighbours < 0:
            raise ValueError(f"n_neighbours = {n_neighbours}: must be 0 or more")
        middle = nodes_per_pitch // 2
        m = np.arange(nodes_per_pitch * n_neighbours + middle + 1)
        place = np.arange(middle + 1)[:, None]
        self.pitch = pitch
        self.half = m * pitch / nodes_per_pitch
        self.multiplicity = np.where(m == 0, 1.0, 2.0)
        self.box = np.where(m < middle, 1.0, np.where(m == middle, 0.5, 0.0))
        # At the window's edge the next window, one period on, takes over: half of the value here.
        self.cut = np.diag(np.where(m == m[-1], 0.5, 1.0))
        on_right, on_left = (m - place) % nodes_per_pitch == 0, (m + place) % nodes_per_pitch == 0
        sum_pads = 1.0 * on_right + on_left * (m > 0)
        share_of_cell = np.where((place == 0) | (place == middle), 1.0, 2.0)[:, 0] / nodes_per_pitch
        self.mean_sum = share_of_cell @ sum_pads
        # In a tiled plane a row of pads is a strip, which does not see the place along it. The evening
        # replaces the sum over the row by its mean; the pad of the cell takes the difference.
        sum_at_place = np.zeros((m.size, m.size))
        sum_at_place[: middle + 1] = sum_pads
        self.evening = np.eye(m.size) + self.box[:, None] * (self.mean_sum - sum_at_place)


def _error_metric(heights: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """L (n_z, n_z): |f L|^2 = |f|^2 / |Q|^2 + |smoothed df/dz|^2 / |smoothed dQ/dz|^2 for a profile f."""
    dz = heights[1] - heights[0]
    margin = math.ceil(4 * CURRENT_RESOLUTION / dz)
    seen = heights[0] + dz * np.arange(-margin, heights.size + margin)
    below = ndtr((seen[:, None] - heights[None, :]) / CURRENT_RESOLUTION)
    slope = np.diff(np.eye(heights.size), axis=0) / dz
    current = (below[:, :-1] - below[:, 1:]) @ slope
    norm_charge = np.sum(charge**2)
    norm_current = np.sum(np.tensordot(charge, current, (-1, 1)) ** 2)
    return np.linalg.cholesky(np.eye(heights.size) / norm_charge + current.T @ current / norm_current)


def _modes(charge: np.ndarray, heights: np.ndarray, window: _Window) -> tuple[np.ndarray, np.ndarray]:
    """Planes (r, n, n) of Q with orthonormal weight, and their size in the error metric (r)."""
    root = np.sqrt(window.multiplicity)
    weighted = charge * np.multiply.outer(np.outer(root, root), np.ones(heights.size))
    metric = _error_metric(heights, weighted)
    planes, size, _ = np.linalg.svd(weighted.reshape(root.size**2, -1) @ metric, full_matrices=False)
    return planes.T.reshape(-1, root.size, root.size), size


def _mixture(charge, heights, window: _Window, blurred_pad, tolerance: float) -> np.ndarray:
    """The pitch cell and the fewest `blurred_pad(width)` that span Q to the tolerance: (r, n).

    The widths are geometric, stretched towards both ends; two ends and the stretch are optimised.
    """
    planes, size = _modes(charge, heights, window)
    seen = size > 0.01 * tolerance
    target = (planes[seen] * size[seen, None, None]).reshape(seen.sum(), -1).T
    root = np.sqrt(window.multiplicity)

    def factors(shape, n):
        step = np.linspace(-1, 1, n)
        low, high, stretch = shape
        log_width = (high + low) / 2 + (high - low) / 2 * (step + stretch * step**3) / (1 + stretch)
        return np.stack([window.box, *(blurred_pad(width) for width in np.exp(log_width))])

    def error(shape, n):
        p = factors(shape, n) * root
        span = np.einsum("ri,rj->ijr", p, p).reshape(-1, n + 1)
        profiles = np.linalg.solve((p @ p.T) ** 2, span.T @ target)
        return np.linalg.norm(span @ profiles - target)

    shape = np.array([np.log(0.7 * window.half[1]), np.log(heights[-1] / 2), 0.1])
    for n in range(3, MAX_WIDTHS + 1):
        best = minimize(
            lambda shape, n=n: np.log(error(shape, n)),
            shape,
            method="Nelder-Mead",
            options={"maxfev": 60, "initial_simplex": shape + 0.2 * np.eye(4, 3, -1)},
        )
        shape = best.x
        if best.fun <= np.log(tolerance):
            return factors(shape, n)
    raise ValueError(f"tolerance = {tolerance}: not reached with {MAX_WIDTHS} widths; ask for less")


def _eigenfunctions(charge, heights, window: _Window, tolerance: float) -> np.ndarray:
    """The pitch cell and the eigenfunctions of the modes of Q that matter: (r, n)."""
    planes, size = _modes(charge, heights, window)
    root = np.sqrt(window.multiplicity)
    box = window.box * root
    planes = planes - np.multiply.outer(planes @ box @ box / (box @ box) ** 2, np.outer(box, box))
    weight, vectors = np.linalg.eigh(planes)
    importance = (np.abs(weight) * size[:, None]).ravel()
    order = np.argsort(-importance)
    dropped = np.sqrt(np.maximum(0, np.sum(importance**2) - np.cumsum(importance[order] ** 2)))
    kept = order[: 1 + np.argmax(dropped <= tolerance)]
    functions = vectors.transpose(0, 2, 1).reshape(-1, root.size) / root
    return np.concatenate([window.box[None], functions[kept]])


def _response(charge: np.ndarray, heights: np.ndarray, window: _Window, factors: np.ndarray) -> PadResponse:
    """Profiles by least squares; the small charge this misses is returned to the collection term."""
    root = np.sqrt(window.multiplicity)
    p = factors * root
    weighted = charge * np.multiply.outer(np.outer(root, root), np.ones(heights.size))
    span = np.einsum("ri,rj->ijr", p, p).reshape(-1, len(p))
    profiles = np.linalg.lstsq(span, weighted.reshape(len(span), -1), rcond=None)[0]
    profiles[:, 0] = np.eye(len(p))[0]
    total = np.einsum("i,j,ijz->z", window.mean_sum, window.mean_sum, charge)
    profiles[0] += total - (factors @ window.mean_sum) ** 2 @ profiles
    nodes = np.concatenate([-window.half[:0:-1], window.half])
    both_sides = np.concatenate([factors[:, :0:-1], factors], axis=1)
    return PadResponse(window.pitch, nodes, heights, both_sides, profiles, total)
