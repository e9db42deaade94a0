"""Where a track is, before it is fitted: a line with kinks through hits, its sense, and where it stops.

Every view has its robust line. The ends of all views are put together in least squares: of the ways in which
ends of different views can belong together the one that agrees best is taken. Kinks follow by linear least
squares, for offsets from the chord are linear in them. A stopping particle ends where its charge per length,
seen backwards, falls as it should from the rise at the end: what follows is its decay electron.
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.spatial import KDTree

from dptoolkit.geometry import Volumes
from dptoolkit.reconstruction.lines import NoLine, robust_line
from dptoolkit.reconstruction.views import View
from dptoolkit.sources.line import CROSSING, Line, across, bend_shares
from dptoolkit.sources.species import species_named
from dptoolkit.sources.stopping import Argon, range_table

LEAST_HITS, LEAST_LENGTH = 8, 3.0
"""Of a track: hits of a view that sees its length, and its length [cm]."""
FEWEST_HITS, COMPACT = 2, 0.7
"""Of a track that a view sees end-on: hits, and the part of its charge that is in one place."""
WIDTH = 4.0
"""Of the straight lines that are tried [cm]."""
GAP, INSENSITIVE = 3.0, 20.0
"""Hits are of one stretch if no gap is longer than the first; stretches of one track are not further apart
than the second [cm]: it may run through an insensitive cathode."""
STRETCH, HITS_OF_STRETCH = 2.0, 6
"""A stretch that is shorter [cm], or of fewer hits, is a photon's."""
CORRIDORS = (12.0, 8.0, 4.0, 4.0, 4.0)
"""Hits this close count [cm], from round to round: first a straight line, last a track that scattered."""
TIP = 1.0
"""Length of the ends of a track that say where they are [cm]."""
DISAGREE = 5.0
"""Views whose ends are further apart in the mean are not of one track [cm]."""
END_ON = 0.1
"""Length of a track in a view over that in space, below which its hits do not say where along it they are."""
PLACES = 1000
"""Of a path, among which the one nearest to a hit is looked for."""
BESIDE = 2.0
"""Charge further from the path is of something else [cm]."""
SHORTENED = (0.4, 0.7, 1.0)
"""Lengths in a view over those in space that are tried."""
OFFSET = 0.3
"""Typical distance of a hit from the line [cm]; further ones count less."""
BIN, HITS_PER_BIN = 0.5, 1.5
"""Of the charge along a track [cm]; bins are wider where there are few hits."""
SPREAD = 0.15
"""Of the logarithm of the charge of a bin."""
ELECTRON = 25.0
"""What follows a particle that stops is at most so long [cm]: the electron of a decay."""
OTHER, EMPTY = 2.0, 3.0
"""What a bin costs that has charge beyond the end, or none before it: -ln of how likely that is."""
NOTHING = 0.1
"""Part of the median charge below which a bin is empty."""
MOST = 6.0
"""The most that one bin costs."""
AT_WALL = 3.0
"""A track that ends this close to a wall can leave [cm]."""
CROWDING = 1.6
"""Of the kinks of a particle that stops: its path deviates as much from each of the lines between them."""


@dataclass(frozen=True)
class Seed:
    """A track from `start` to `end` [cm] with its kinks; `beyond` [cm] of range is left at the end."""

    start: Float[np.ndarray, " 3"]
    end: Float[np.ndarray, " 3"]
    kinks: Float[np.ndarray, "m 2"]
    beyond: float = 0.0

    @property
    def length(self) -> float:
        """Of the chord [cm]."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def direction(self) -> Float[np.ndarray, " 3"]:
        """Unit vector along the chord."""
        return (self.end - self.start) / self.length

    @property
    def crowding(self) -> float:
        """Of its kinks at the end."""
        return 1.0 if self.beyond else CROWDING

    @property
    def frame(self) -> Float[np.ndarray, "2 3"]:
        """Unit vectors across the chord, along which kinks turn."""
        real = jnp.result_type(float)
        return np.asarray(_frame(jnp.asarray(self.direction, real)), float)

    def points(self, along: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """Places at parts of the chord [cm]."""
        chord = self.start + along[:, None] * (self.end - self.start)
        shares = bend_shares(along, len(self.kinks), self.crowding)
        return chord + self.length * shares @ self.kinks @ self.frame

    def line(self, particle: str = "muon", n_segments: int = 256) -> Line:
        """As a source."""
        real = jnp.result_type(float)
        places: Any = {name: jnp.asarray(getattr(self, name), real) for name in ("start", "end", "kinks")}
        beyond, shape = jnp.asarray(self.beyond, real), {"n_segments": n_segments, "crowding": self.crowding}
        return Line(**places, beyond=beyond, particle=particle, **shape)

    def reversed(self) -> "Seed":
        """The same track run backwards."""
        return replace(self, start=self.end, end=self.start, kinks=0 * self.kinks)


def find_seed(
    views: list[View], n_kinks: int, particle: str = "muon", volumes: Volumes | None = None
) -> Seed:
    """The track of an event; `NoLine` says why there is none. It stops unless it can leave the `volumes`."""
    ends = _matched([_View.of(view, particle) for view in views if len(view.points) >= FEWEST_HITS])
    seed = Seed(ends[0], ends[1], np.zeros((n_kinks, 2)))
    if seed.length < LEAST_LENGTH:
        raise NoLine(f"a track shorter than {LEAST_LENGTH:g} cm")
    seed = followed(seed, views)
    ways = (seed, followed(seed.reversed(), views))
    stopped = [_stopped(way, views, particle, _leaves(way, volumes)) for way in ways]
    best = min(stopped, key=lambda found: found[0])[1]
    return followed(best, views)


@dataclass(frozen=True)
class _View:
    """A view and the two ends that the track can have in it."""

    axes: np.ndarray
    ends: list[np.ndarray]
    """(2, k) [cm]: with all that follows, and without what follows where the charge says that it stops."""

    @classmethod
    def of(cls, view: View, particle: str) -> "_View":
        try:
            return cls._seen_along(view, particle)
        except NoLine:
            return cls._seen_end_on(view)

    @classmethod
    def _seen_end_on(cls, view: View) -> "_View":
        """Both ends at the one place where its hits are."""
        place = np.median(view.points, axis=0)
        near = np.linalg.norm(view.points - place, axis=1) < WIDTH
        if view.charge[near].sum() < COMPACT * view.charge.sum():
            raise NoLine("no straight track in a view, and no single place")
        ends = np.stack([place, place])
        return cls(view.axes, [ends, ends])

    @classmethod
    def _seen_along(cls, view: View, particle: str) -> "_View":
        if len(view.points) < LEAST_HITS:
            raise NoLine(f"fewer than {LEAST_HITS} hits")
        middle, direction, near = robust_line(view.points, np.maximum(view.charge, 0.0), WIDTH)
        along, away = _split(view.points - middle, direction)
        chosen = away < CORRIDORS[0]
        edges = _extent(np.sort(along[chosen]), float(np.median(along[near])))
        inside = chosen & (along >= edges[0]) & (along <= edges[1])
        place, length = along[inside] - edges[0], edges[1] - edges[0]
        cut = _cut_where_it_stops(place, view.charge[inside], length, particle)
        tips = [
            _tip(view.points[inside], along[inside], edges[0] + part * length, direction)
            for part in (0.0, 1.0, *cut)
        ]
        return cls(view.axes, [np.stack(tips[:2]), np.stack(tips[2:])])


def _tip(points: np.ndarray, along: np.ndarray, at: float, direction: np.ndarray) -> np.ndarray:
    """Where the hits are at this place along a direction."""
    near = np.abs(along - at) < max(TIP, float(np.sort(np.abs(along - at))[min(2, len(along) - 1)]) + 1e-6)
    return np.median(points[near], axis=0) + (at - np.median(along[near])) * direction


def _split(offsets: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(along, distance across) a direction."""
    along = offsets @ direction
    return along, np.linalg.norm(offsets - along[:, None] * direction, axis=1)


def _extent(along: np.ndarray, inside: float) -> np.ndarray:
    """From where to where a track goes that runs through `inside`, of sorted places of hits along it."""
    parts = np.split(along, np.flatnonzero(np.diff(along) > GAP) + 1)
    runs = [run for run in parts if run[-1] - run[0] > STRETCH and len(run) >= HITS_OF_STRETCH]
    if not runs:
        raise NoLine(f"no track longer than {STRETCH:g} cm")
    main = int(np.argmin([max(run[0] - inside, inside - run[-1], 0.0) for run in runs]))
    first = last = main
    while first > 0 and runs[first][0] - runs[first - 1][-1] < INSENSITIVE:
        first -= 1
    while last < len(runs) - 1 and runs[last + 1][0] - runs[last][-1] < INSENSITIVE:
        last += 1
    return np.array([runs[first][0], runs[last][-1]])


def _matched(views: list[_View]) -> tuple[np.ndarray, np.ndarray]:
    """Both ends in space, from all views."""
    axes = np.concatenate([view.axes for view in views]) if views else np.zeros((0, 3))
    if np.linalg.matrix_rank(axes, tol=0.1) < 3:
        raise NoLine(f"fewer than {FEWEST_HITS} hits in the views that would fix it")
    best, ends = np.inf, np.zeros((2, 3))
    ways = [[ends[::sense] for ends in view.ends for sense in (1, -1)] for view in views]
    for turned in product(ways[0][::2], *ways[1:]):
        measured = np.concatenate(turned, axis=1)
        found = np.linalg.lstsq(axes, measured.T, rcond=None)[0].T
        wrong = float(np.sqrt(np.mean((found @ axes.T - measured) ** 2)))
        if wrong < best:
            best, ends = wrong, found
    if best > DISAGREE:
        raise NoLine("no track on which the views agree")
    return ends[0], ends[1]


def followed(seed: Seed, views: list[View]) -> Seed:
    """The same track with ends and kinks that follow the hits: robust linear least squares."""
    m = len(seed.kinks)
    for corridor in CORRIDORS:
        # ends move by no more than the corridor, kinks are small: priors around present values
        widths = np.concatenate([np.full(6, corridor / 2), np.full(2 * m, 0.1 + 1.0 / seed.length)])
        rows, offsets = _equations(seed, views, corridor)
        weight = 1 / np.sqrt(OFFSET**2 + offsets**2)
        mean = np.concatenate([np.zeros(6), -seed.kinks.ravel()])
        matrix = np.concatenate([rows * weight[:, None], np.diag(1 / widths)])
        move = np.linalg.lstsq(matrix, np.concatenate([offsets * weight, mean / widths]), rcond=None)[0]
        seed = replace(
            seed,
            start=seed.start + move[:3],
            end=seed.end + move[3:6],
            kinks=seed.kinks + move[6:].reshape(m, 2),
        )
    return seed


def _equations(seed: Seed, views: list[View], corridor: float) -> tuple[np.ndarray, np.ndarray]:
    """(by how much the line nears every hit with (start, end, kinks), how far it is off) across the line."""
    unit, frame = seed.direction, seed.frame
    rows, offsets = [], []
    for view in views:
        chord = view.axes @ unit
        size = np.linalg.norm(chord)
        if size < END_ON:
            continue
        along = (view.points - view.axes @ seed.start) @ (chord / size**2) / seed.length
        near = (along > -0.02) & (along < 1.02)
        t = _nearest(seed, view)[0][near]
        away = view.points[near] - seed.points(t) @ view.axes.T
        # directions of the view across the projected chord
        across = np.linalg.svd(chord[None])[2][1:]
        moves = np.stack([1 - t, t], axis=1)
        bend = seed.length * bend_shares(t, len(seed.kinks), seed.crowding)
        for direction in across:
            place = direction @ view.axes
            ends = (moves[:, :, None] * place).reshape(len(t), 6)
            kinks = np.einsum("nm,k->nmk", bend, frame @ place).reshape(len(t), -1)
            rows.append(np.concatenate([ends, kinks], axis=1))
            offsets.append(away @ direction)
    if not rows:
        raise NoLine("a track that every view sees end-on")
    close = np.abs(np.concatenate(offsets)) < corridor
    return np.concatenate(rows)[close], np.concatenate(offsets)[close]


def _nearest(seed: Seed, view: View) -> tuple[np.ndarray, np.ndarray]:
    """(part of the chord, distance [cm]) of the place of the path nearest to every hit."""
    parts = np.linspace(0, 1, PLACES)
    away, number = KDTree(seed.points(parts) @ view.axes.T).query(view.points)
    return parts[number], away


def _leaves(seed: Seed, volumes: Volumes | None) -> bool:
    """Whether the end is at a wall, or nothing is known of walls."""
    if volumes is None:
        return True
    last = seed.points(np.array([0.95, 1.0]))
    beyond = last[1] + AT_WALL * (last[1] - last[0]) / np.linalg.norm(last[1] - last[0])
    low, high = volumes.bounds
    return bool((beyond < low).any() or (beyond > high).any())


def _stopped(seed: Seed, views: list[View], particle: str, leaves: bool) -> tuple[float, Seed]:
    """(cost, the track cut where a particle that runs this way stops or goes on beyond)."""
    width, charge = charge_along(seed, views)
    cost, n, beyond = _best_stop(charge, width, particle, leaves)
    last = len(charge)
    end = seed.points(np.array([n / last]))[0]
    return cost, replace(seed, end=end, kinks=seed.kinks * (n / last), beyond=beyond)


def charge_along(seed: Seed, views: list[View]) -> tuple[float, np.ndarray]:
    """(width of bins along the chord [cm], charge in them) of the views that collect charge.

    Where these see the track end-on the sizes of induced signals have to do.
    """
    unit = seed.direction
    place, charge = np.zeros((2, 0))
    for collects in (True, False):
        hits = [np.zeros((2, 0))]
        for view in views:
            if view.collects is not collects or np.linalg.norm(view.axes @ unit) < END_ON:
                continue
            part, away = _nearest(seed, view)
            near, along = away < BESIDE, part * seed.length
            hits.append(np.stack([along[near], view.charge[near]]))
        place, charge = np.concatenate(hits, axis=1)
        if len(place) >= LEAST_HITS:
            break
    return _profile(place, charge, seed.length, BIN)


def _profile(place: np.ndarray, charge: np.ndarray, length: float, width: float) -> tuple[float, np.ndarray]:
    """(width, charge) of bins from 0 to `length`, of about this width but no narrower than hits are apart."""
    if len(place) < LEAST_HITS:
        raise NoLine("too few hits along it to tell its ends apart")
    order = np.argsort(place)
    place, charge = place[order], charge[order]
    # a hit has the charge of the path up to half way to its neighbours
    middle = (place[1:] + place[:-1]) / 2
    borders = np.concatenate([[2 * place[0] - middle[0]], middle, [2 * place[-1] - middle[-1]]])
    n = max(int(min(length / width, len(place) / HITS_PER_BIN)), 1)
    edges = np.linspace(0, length, n + 1)
    return length / n, np.diff(np.interp(edges, borders, np.concatenate([[0.0], np.cumsum(charge)])))


def _best_stop(charge: np.ndarray, width: float, particle: str, leaves: bool) -> tuple[float, int, float]:
    """(cost, bins up to the end, range beyond) of a particle that stops somewhere, or goes on beyond."""
    last = len(charge)
    stops, passes = (_template(particle, last, width, beyond) for beyond in (0.0, CROSSING))
    least = max(int(LEAST_LENGTH / width), last - int(ELECTRON / width), 1)
    found = [(_cost(charge, n, stops), n, 0.0) for n in range(min(least, last), last + 1)]
    if leaves:
        found.append((_cost(charge, last, passes), last, CROSSING))
    return min(found)


def _cut_where_it_stops(
    place: np.ndarray, charge: np.ndarray, length: float, particle: str
) -> tuple[float, float]:
    """Parts of the way along a view where the track begins and ends; by how much it is shortened is tried."""
    best, cut = np.inf, (0.0, 1.0)
    for part in SHORTENED:
        for turned in (False, True):
            width, bins = _profile(length - place if turned else place, charge, length, BIN * part)
            cost, n, _ = _best_stop(bins, width / part, particle, False)
            if cost / len(bins) < best:
                best, end = cost / len(bins), n / len(bins)
                cut = (1 - end, 1.0) if turned else (0.0, end)
    return cut


def _cost(charge: np.ndarray, n: int, template: np.ndarray) -> float:
    """-ln of how likely the charges are if the track ends after the first `n` bins."""
    inside, filled = charge[:n], charge[:n] > NOTHING * np.median(charge)
    ratio = np.log(np.where(filled, inside, 1.0) / template[:n][::-1])
    level = np.median(ratio[filled]) if filled.any() else 0.0
    off = (ratio - level) / SPREAD
    # delta rays and other charge beside it only add
    bin_costs = np.where(off < 0, 0.5 * off**2, np.sqrt(1 + off**2) - 1)
    terms = np.where(filled, np.minimum(bin_costs, MOST), EMPTY)
    return float(terms.sum() + OTHER * np.count_nonzero(charge[n:] > NOTHING * np.median(charge)))


def _template(particle: str, n: int, width: float, beyond: float) -> np.ndarray:
    """Charge of bins at rising residual range, up to a factor: with Birks' recombination at 0.5 kV/cm."""
    de = np.diff(np.interp(beyond + width * np.arange(n + 1), *_range_energy(particle)))
    return de / (1 + 0.0486 * de / width / (1.396 * 0.5))


@cache
def _range_energy(particle: str) -> tuple[np.ndarray, np.ndarray]:
    """(residual range [cm], kinetic energy [MeV])."""
    ranges = np.concatenate([[0.0], np.geomspace(0.01, 3 * CROSSING, 600)])
    return ranges, np.asarray(_energies(jnp.asarray(ranges, jnp.result_type(float)), particle), float)


@eqx.filter_jit
def _energies(ranges: Float[Array, " n"], particle: str) -> Float[Array, " n"]:
    return range_table(Argon(), species_named(particle)).energy(ranges)


_frame = jax.jit(across)
