"""Photosensors: which photons become photoelectrons, and what is read out of these.

Photoelectrons are Poisson, their charge a Gamma distribution of mean `gain` and relative spread
`charge_spread` each, their times Gaussian of width `transit_spread_ns`; a sample holds the mean of these
times. Shape of the glass, saturation, threshold and dark counts are left out.
"""

from typing import ClassVar, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dptoolkit.events import SensorHits
from dptoolkit.light.spectrum import WAVELENGTHS_NM
from dptoolkit.params import Component, param, setting

R3600_NM = tuple(float(nm) for nm in range(280, 661, 20))
R3600 = (
    0.0, 0.0139, 0.0854, 0.169, 0.203, 0.206, 0.211, 0.202, 0.188, 0.167, 0.14, 0.116, 0.0806, 0.0432, 0.0265,
    0.0146, 0.00756, 0.00508, 0.00158, 0.0,
)  # fmt: skip
"""Quantum efficiency of the 20-inch R3600 with its glass, as WCSim has it (WCSimPMTObject, MIT licence)."""

Light = tuple[Float[Array, " r"], Float[Array, " r"], Float[Array, " r"]]
"""Of every row: expected photoelectrons, their mean time and the variance of it [ns, ns2]."""


Sensor = TypeVar("Sensor", bound="AbstractSensor")


class AbstractSensor(Component):
    """What becomes of photoelectrons, whatever made them."""

    transit_spread_ns: eqx.AbstractVar[Array]
    charge_spread: eqx.AbstractVar[Array]
    gain: eqx.AbstractVar[Array]
    time_offset_ns: eqx.AbstractVar[Array]
    each: ClassVar[tuple[str, ...]] = ("gain", "time_offset_ns")
    """Parameters that every sensor has for itself."""

    def for_all(self: Sensor, n: int) -> Sensor:
        """The same with a value of its own for each of `n` sensors."""
        values = tuple(
            _one_each(f"{type(self).__name__}.{name}", getattr(self, name), n) for name in self.each
        )
        return eqx.tree_at(lambda s: tuple(getattr(s, name) for name in s.each), self, values)

    def expect(self, light: Light, sensor: Int[Array, " r"]) -> tuple[Light, Float[Array, " r"]]:
        """((photoelectrons, time, width of the time of one of them), charge) on `sensor` of every row."""
        pe, time_ns, variance = light
        width = jnp.sqrt(variance + self.transit_spread_ns**2)
        return (pe, time_ns + self.time_offset_ns[sensor], width), self.gain[sensor] * pe

    def draw(self, light: Light, sensor: Int[Array, " r"], key: Array) -> tuple[Light, Float[Array, " r"]]:
        """((photoelectrons, their mean time, its width), charge): a sample of `expect`."""
        (expected, time_ns, width), _ = self.expect(light, sensor)
        for_number, for_charge, for_time = jax.random.split(key, 3)
        number = jax.random.poisson(for_number, expected).astype(expected.dtype)
        some = jnp.maximum(number, 1.0)
        spread = self.charge_spread**2
        charge = spread * gamma(some / spread, jax.random.normal(for_charge, some.shape, some.dtype))
        width = width / jnp.sqrt(some)
        time_ns = time_ns + width * jax.random.normal(for_time, width.shape, width.dtype)
        hit = number > 0
        return (
            (number, jnp.where(hit, time_ns, 0.0), jnp.where(hit, width, 0.0)),
            jnp.where(hit, self.gain[sensor] * charge, 0.0),
        )


class Photosensor(AbstractSensor):
    """Photomultipliers of one kind, each a flat round photocathode of `radius`.

    So its face is seen under pi a^2 cos(eta) / R^2; `slope` changes that with the angle eta to its normal.
    """

    radius: float = setting("cm")
    """Of the photocathode [cm]."""
    efficiency: Array = param(
        R3600, "1", bounds=(0.0, 1.0), symbol="QE", reference="R3600 in WCSim; at `efficiency_nm`"
    )
    collection: Array = param(
        1.0, "1", bounds=(0.2, 1.5), symbol="CE", typical=(0.85, 1.15), scale="log",
        reference="of photoelectrons, all sensors; R3600 in WCSim",
    )  # fmt: skip
    slope: Array = param(
        0.0, "1", bounds=(-1.0, 1.0), symbol="s", reference="acceptance 1 + s (1 - cos eta); R3600 in WCSim"
    )
    transit_spread_ns: Array = param(
        2.1, "ns", bounds=(0.0, 20.0), symbol="TTS", reference="R3600, one photoelectron; Super-Kamiokande"
    )
    charge_spread: Array = param(
        1.03, "1", bounds=(0.05, 1.3), symbol="sigma_q", reference="R3600 in WCSim, tail included"
    )
    gain: Array = param(1.0, "1", bounds=(0.0, 10.0), symbol="g", reference="of every sensor")
    time_offset_ns: Array = param(0.0, "ns", bounds=(-1e4, 1e4), symbol="t0", reference="of every sensor")
    efficiency_nm: tuple[float, ...] = setting("nm", default=R3600_NM)
    name: str = eqx.field(static=True, default="pmt")

    def __check_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"Photosensor.radius = {self.radius:g} cm: expected a positive length")
        if np.shape(self.efficiency) != (len(self.efficiency_nm),):
            raise ValueError(
                f"Photosensor.efficiency: expected {len(self.efficiency_nm)} values, one for each of "
                f"efficiency_nm, got shape {np.shape(self.efficiency)}"
            )

    def spectrum(self) -> Float[Array, " w"]:
        """Photoelectrons per photon that hits the face head on, at `WAVELENGTHS_NM`."""
        efficiency = jnp.interp(
            WAVELENGTHS_NM, np.array(self.efficiency_nm), self.efficiency, left=0.0, right=0.0
        )
        return self.collection * efficiency

    def acceptance(self, cosine: Float[Array, "..."]) -> Float[Array, "..."]:
        """Relative to a flat face; `cosine` of the angle to the normal."""
        return 1 + self.slope * (1 - cosine)


def rows(start: Float[Array, " e"], n_rows: int) -> tuple[Int[Array, " r"], Int[Array, " r"]]:
    """(event, sensor) of every row: all sensors of the first event, then of the second, ..."""
    n_events = len(start)
    event, sensor = jnp.indices((n_events, n_rows // n_events), dtype=jnp.int32)
    return event.ravel(), sensor.ravel()


def sensor_hits(read: Light, charge: Float[Array, " r"], start: Float[Array, " e"]) -> SensorHits:
    """What `expect` or `draw` say of every row; `start` is the first time of every event [us]."""
    pe, time_ns, width = read
    event, sensor = rows(start, len(pe))
    return SensorHits(pe, charge, time_ns, width, start[event], sensor, event, jnp.ones(len(pe), bool))


def gamma(shape: Float[Array, " r"], normal: Float[Array, " r"]) -> Float[Array, " r"]:
    """Gamma numbers of a `shape` near 1 or above, of normal ones: their cube root is nearly normal.

    E. Wilson and M. Hilferty, PNAS 17 (1931) 684, scaled so that the mean is exact; the variance is to 0.5 %.
    """
    variance = 1 / (9 * shape)
    middle = 1 - variance
    mean = middle**3 + 3 * middle * variance
    return shape / mean * jnp.maximum(middle + jnp.sqrt(variance) * normal, 0.0) ** 3


def _one_each(name: str, values: Array, n: int) -> Array:
    if jnp.ndim(values) == 0:
        return jnp.full(n, values)
    if values.shape != (n,):
        raise ValueError(f"{name}: expected one value, or {n}, got shape {values.shape}")
    return values
