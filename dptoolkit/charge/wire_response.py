"""The response of a wire plane, arranged for fast simulation: a matrix per frequency.

From induced currents at sub-wire offsets (`field_response`, or a table) to what a group of wires
needs: the answer of every wire in reach to charge at every sub-wire node, at every frequency.
"""

from itertools import pairwise
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dptoolkit import units
from dptoolkit.charge.electronics import ColdElectronics
from dptoolkit.charge.field_response import WireAnode, cached_field_response
from dptoolkit.charge.nominal import Nominal

WIRES = 16
"""Wires of a block."""
TICKS = 64
"""Ticks of a block."""
REACH = 10
"""Wires on each side on which a cloud induces."""
GROUP = 4
"""Wires whose charge is folded with the response at once: the response does not depend on the place."""
WIDTHS = 4.4
"""Standard deviations of a cloud that are kept: all but 1e-5."""
APPROACH = 8.0
"""Distance from the first plane at which an electron begins to induce [cm]."""


class Band(eqx.Module):
    """The response in a range of frequencies: low ones reach many wires, high ones few."""

    matrix: Float[Array, "f cx cw"]
    """From charge at node x of a group of wires to wire w of the window around the group; c numbers the
    real and the imaginary part."""
    first: int = eqx.field(static=True)
    """First frequency [cycles per window]."""
    margin: int = eqx.field(static=True)
    """Wires of the full window that are left out on each side."""


class WireResponse(eqx.Module):
    """Field response of a plane at sub-wire nodes, as a matrix per frequency.

    Built once from currents [1/us] at offsets -REACH..REACH of the wire, and of times relative to the
    arrival of the charge at the plane. Frequencies go on beyond the Nyquist frequency as far as the
    response does: sampling folds them back.
    """

    bands: tuple[Band, ...]
    nodes_per_wire: int = eqx.field(static=True)
    window: int = eqx.field(static=True)
    """Ticks of the Fourier window."""
    lead: int = eqx.field(static=True)
    """Blocks of ticks by which the window starts before the charge."""

    @property
    def n_frequencies(self) -> int:
        """Frequencies 0, 1, ... cycles per window that are kept."""
        return self.bands[-1].first + self.bands[-1].matrix.shape[0]

    @property
    def n_nodes(self) -> int:
        """Nodes of a group of wires."""
        return GROUP * self.nodes_per_wire


def wire_response(
    offsets: Float[np.ndarray, " o"],
    times: Float[np.ndarray, " t"],
    currents: Float[np.ndarray, "o t"],
    *,
    tick_period: float,
    longest: float,
    electronics: ColdElectronics,
    keep: float = 1e-4,
) -> WireResponse:
    """A plane's response from induced currents [1/us] at `offsets` [pitch] and `times` [us].

    `longest` [ticks] is the largest standard deviation of a cloud; `keep` is the relative L2 norm of
    what is left out at high frequencies and far wires.
    """
    per_wire = round(1 / (offsets[1] - offsets[0]))
    if len(offsets) != 2 * REACH * per_wire + 1 or not np.isclose(offsets[0], -REACH):
        raise ValueError(
            f"offsets: expected {-REACH}..{REACH} in equal steps, got {offsets[0]}..{offsets[-1]}"
        )
    reach_ticks = WIDTHS * longest + 2
    before = -times[0] / tick_period + reach_ticks
    after = (times[-1] + 8 * float(electronics.peaking_time)) / tick_period + reach_ticks
    lead = int(np.ceil(before / TICKS))
    window = TICKS * (lead + 1 + int(np.ceil(after / TICKS)))
    frequency = np.arange(window)

    omega = 2 * np.pi * frequency / (window * tick_period)
    shift = np.exp(-1j * np.outer(omega, times + lead * TICKS * tick_period))
    spectrum = shift @ (currents.T * (times[1] - times[0]))
    shaping = np.abs(np.asarray(electronics.spectrum(jnp.asarray(omega))))
    power = np.abs(spectrum * shaping[:, None]) ** 2
    node = np.arange(GROUP * per_wire) / per_wire - 0.5
    bands = []
    for first, last, reach in _bands(power, per_wire, keep):
        wires = np.arange(-reach, GROUP + reach)
        # offset of the charge from the wire, in nodes from the first of the table
        column = np.rint((node[None, :] - wires[:, None] + REACH) * per_wire).astype(int)
        near = (column >= (REACH - reach) * per_wire) & (column <= (REACH + reach) * per_wire)
        matrix = spectrum[first:last][:, np.clip(column, 0, len(offsets) - 1)]
        bands.append(Band(_real(np.where(near, matrix, 0.0)), first, REACH - reach))
    return WireResponse(tuple(bands), nodes_per_wire=per_wire, window=window, lead=lead)


def _real(matrix: Complex[np.ndarray, "f w x"]) -> Float[Array, "f cx cw"]:
    """The same product for real and imaginary parts one after the other."""
    turned = np.swapaxes(matrix, 1, 2)
    real, imaginary = np.real(turned), np.imag(turned)
    whole = np.block([[real, imaginary], [-imaginary, real]])
    return jnp.asarray(whole, jnp.result_type(float))


def _bands(power: Float[np.ndarray, "f o"], per_wire: int, keep: float) -> list[tuple[int, int, int]]:
    """Ranges of frequencies [first, last) and the wires that each must reach to lose `keep` in all."""
    lost = keep**2 * power.sum()
    above = np.cumsum(power.sum(axis=1)[::-1])[::-1]
    n_used = min(-(-(int(np.flatnonzero(above > lost / 2)[-1]) + 1) // 16) * 16, len(power))
    edges = np.unique(np.minimum([0, 16, 32, 48, 64, 96, 128, len(power)], n_used))
    offset = np.abs(np.arange(power.shape[1]) - REACH * per_wire) / per_wire
    ranges: list[tuple[int, int, int]] = []
    for first, last in pairwise(edges):
        beyond = [power[first:last, offset > reach].sum() for reach in range(REACH + 1)]
        allowed = lost / 2 / (len(edges) - 1)
        reach = next(r for r, energy in enumerate(beyond) if energy <= allowed)
        if ranges and ranges[-1][2] == reach:
            ranges[-1] = (ranges[-1][0], int(last), reach)
        else:
            ranges.append((int(first), int(last), reach))
    return ranges


def induced_currents(
    table: str | None, position: int, nominal: Nominal
) -> tuple[Float[np.ndarray, " o"], Float[np.ndarray, " t"], Float[np.ndarray, "o t"], float]:
    """(offsets [pitch], times [us], currents [1/us], distance behind the first plane [cm]) of a plane.

    Computed from the geometry of the anode, or read from a `table`: an .npz file with `offsets`,
    `times` and `currents`.
    """
    anode = wire_anode(nominal)
    distance = float(np.sum(anode.gaps[: anode.read_planes[position]]))
    if table is not None:
        file = Path(table)
        if not file.is_file():
            raise ValueError(f"response: file {table} does not exist")
        with np.load(file) as stored:
            missing = {"offsets", "times", "currents"} - set(stored)
            if missing:
                raise ValueError(f"response: {table} lacks {', '.join(sorted(missing))}")
            return stored["offsets"], stored["times"], stored["currents"], distance
    response = cached_field_response(anode)
    return response.offsets, response.times, response.currents[position], distance


def wire_anode(nominal: Nominal) -> WireAnode:
    """The anode's electrodes from the keys gaps, bias, wire_diameter, shielding and pitch.

    `shielding` lists the positions of planes that are not read out (a grid). In the two-dimensional
    calculation all planes share one pitch: `pitch`, by default the mean of the read-out planes.
    """
    config = dict(nominal.anode)
    config.pop("faces", None)
    pitches = [units.parse(plane["pitch"], "cm") for plane in nominal.planes]
    shielding = config.pop("shielding", [])
    n_planes = len(pitches) + len(shielding)
    gaps = config.pop("gaps", [float(np.mean(pitches))] * n_planes)
    bias = config.pop("bias", None)
    anode = WireAnode(
        pitch=units.parse(config.pop("pitch", float(np.mean(pitches))), "cm"),
        gaps=tuple(units.parse(gap, "cm") for gap in gaps),
        bias=None if bias is None else tuple(units.parse(volt, "V") for volt in bias),
        wire_diameter=units.parse(config.pop("wire_diameter", "150 um"), "cm"),
        drift_field=nominal.efield * 1000,
        temperature=nominal.temperature,
        readout=tuple(plane not in shielding for plane in range(n_planes)),
        approach=APPROACH,
    )
    if config:
        raise ValueError(
            f"anode: unknown key {next(iter(config))!r}; "
            "expected pitch, gaps, bias, wire_diameter, shielding, faces"
        )
    return anode
