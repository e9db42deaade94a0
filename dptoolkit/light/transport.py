"""Photons of argon one by one: absorption, Rayleigh scattering and reflecting walls, in a box of plates.

A photon flies an exponential length, is absorbed or scattered (phase function 1 + cos^2), or meets a wall: a
plate takes it, the bare wall reflects or absorbs it. `CountedPhotons` counts those that plates take, as an
experiment does. `ExpectedPhotons` follows the same photons and adds at every emission, scattering and diffuse
reflection what each plate may expect from there (next-event estimation): the same mean with far less noise.
"""

from abc import abstractmethod
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from dptoolkit.light.argon_optics import ArgonOptics
from dptoolkit.light.box import LightBox, Vector

EMISSION, SCATTERING, DIFFUSE, SPECULAR = range(4)
"""What happened at a vertex: how directions are distributed behind it."""


class Vertex(eqx.Module):
    """Where a photon is about to leave from."""

    point: Vector
    """[cm]"""
    before: Vector
    """Its direction before; the normal of the wall, inwards, after a diffuse reflection."""
    kind: Int[Array, ""]
    way: Float[Array, ""]
    """Behind it [cm]."""


class Arrival(eqx.Module):
    """What a flight ends with."""

    plate: Bool[Array, " p"]
    """Which plate took the photon; at most one."""
    way: Float[Array, ""]
    """Behind it, from its emission [cm]."""
    alive: Bool[Array, ""]


Numbers = tuple[Float[Array, " p"], Float[Array, " p"]]
"""Of every plate: photons, and the sum of their ways [cm]."""


class AbstractEstimator(eqx.Module):
    """What is written down of photons under way."""

    @abstractmethod
    def __call__(
        self,
        box: LightBox,
        optics: ArgonOptics,
        vertex: Vertex,
        arrival: Arrival,
        uniform: Float[Array, " 2"],
    ) -> Numbers:
        """Of one flight from `vertex`; `uniform` are two random numbers that the flight did not use."""


class CountedPhotons(AbstractEstimator):
    """Every photon that a plate takes."""

    def __call__(
        self,
        box: LightBox,
        optics: ArgonOptics,
        vertex: Vertex,
        arrival: Arrival,
        uniform: Float[Array, " 2"],
    ) -> Numbers:
        taken = arrival.plate.astype(arrival.way.dtype)
        return taken, taken * arrival.way


class ExpectedPhotons(AbstractEstimator):
    """The probability of an unscattered flight from the vertex to each plate.

    A point of every plate is drawn as seen from the vertex: along one side uniformly in the angle, along the
    other uniformly in the solid angle of the strip. Behind a mirror there is but one direction: such a
    flight counts if a plate takes it.
    """

    def __call__(
        self,
        box: LightBox,
        optics: ArgonOptics,
        vertex: Vertex,
        arrival: Arrival,
        uniform: Float[Array, " 2"],
    ) -> Numbers:
        solid_angle, towards, far = _aim(box, vertex.point, uniform)
        density = _density(box, vertex, towards)
        share = solid_angle * density * jnp.exp(-far / optics.interaction_length)
        counted, counted_way = CountedPhotons()(box, optics, vertex, arrival, uniform)
        mirrored = vertex.kind == SPECULAR
        number = jnp.where(mirrored, counted, share)
        return number, jnp.where(mirrored, counted_way, share * (vertex.way + far))


def trace(
    box: LightBox,
    optics: ArgonOptics,
    estimator: AbstractEstimator,
    points: Float[Array, "n 3"],
    photons: int | Int[Array, ""],
    key: Key[Array, " n"],
) -> tuple[Float[Array, "n p"], Float[Array, "n p"]]:
    """(photons seen, sum of their ways [cm]) of every plate, from `photons` emitted at each point.

    Every point has its own key, so results do not depend on what else is traced.
    """
    one = partial(_trace_point, box, optics, estimator, photons)
    return jax.vmap(one)((points[:, 0], points[:, 1], points[:, 2]), key)


def fly(
    box: LightBox, optics: ArgonOptics, vertex: Vertex, uniform: Float[Array, " 6"]
) -> tuple[Vertex, Arrival]:
    """(the next vertex, what happened there) of a photon; the vertex means nothing if it is not alive."""
    real = vertex.way.dtype
    direction = _leave(vertex, uniform[0], uniform[1])
    free = -jnp.log1p(-uniform[2]) * optics.interaction_length
    low, high = jnp.asarray(box.low, real), jnp.asarray(box.high, real)
    walls = [_distance(vertex.point[k], direction[k], low[k], high[k]) for k in range(3)]
    wall_far = jnp.minimum(jnp.minimum(walls[0], walls[1]), walls[2])
    axis = jnp.where(walls[0] <= wall_far, 0, jnp.where(walls[1] <= wall_far, 1, 2))
    at_wall = wall_far <= free
    far = jnp.where(at_wall, wall_far, free)
    upper = [direction[k] > 0 for k in range(3)]
    inside = [jnp.clip(vertex.point[k] + far * direction[k], low[k], high[k]) for k in range(3)]
    # on its wall exactly, so that the next flight does not begin outside
    ends = [jnp.where(upper[k], high[k], low[k]) for k in range(3)]
    point = _vector(*(jnp.where(at_wall & (axis == k), ends[k], inside[k]) for k in range(3)))
    side = jnp.where(axis == 0, upper[0], jnp.where(axis == 1, upper[1], upper[2]))
    plate = at_wall & box.on_plate(point, 2 * axis + side)
    scattered = ~at_wall & (uniform[3] * optics.rayleigh_length < optics.interaction_length)
    reflected = at_wall & ~plate.any() & (uniform[4] < optics.reflectivity)
    mirrored = uniform[5] < optics.specular
    kind = jnp.where(at_wall, jnp.where(mirrored, SPECULAR, DIFFUSE), SCATTERING).astype(jnp.int32)
    inwards = [jnp.where(axis == k, jnp.where(upper[k], -1.0, 1.0), 0.0).astype(real) for k in range(3)]
    flipped = [jnp.where(axis == k, -direction[k], direction[k]) for k in range(3)]
    before = [
        jnp.where(kind == DIFFUSE, inwards[k], jnp.where(kind == SPECULAR, flipped[k], direction[k]))
        for k in range(3)
    ]
    way = vertex.way + far
    return Vertex(point, _vector(*before), kind, way), Arrival(plate, way, scattered | reflected)


def rayleigh_cosine(uniform: Array) -> Array:
    """Cosines distributed as 3/8 (1 + c^2): the root of c^3 + 3 c = 8 u - 4."""
    return 2 * jnp.sinh(jnp.arcsinh(4 * uniform - 2) / 3)


def _trace_point(
    box: LightBox,
    optics: ArgonOptics,
    estimator: AbstractEstimator,
    photons: int | Int[Array, ""],
    point: Vector,
    key: Key[Array, ""],
) -> Numbers:
    """One photon after the other, so that neighbours in the vector never wait for the longest way of all."""
    real = point[0].dtype
    zero = jnp.zeros((), real)
    emitted = Vertex(point, _vector(zero, zero, zero + 1), jnp.asarray(EMISSION, jnp.int32), zero)

    def step(state: tuple) -> tuple:
        vertex, left, number, numbers = state
        uniform = jax.random.uniform(jax.random.fold_in(key, number), (8,), real)
        after, arrival = fly(box, optics, vertex, uniform[:6])
        added = estimator(box, optics, vertex, arrival, uniform[6:])
        numbers = jax.tree.map(jnp.add, numbers, added)
        after = jax.tree.map(partial(jnp.where, arrival.alive), after, emitted)
        return after, jnp.where(arrival.alive, left, left - 1), number + 1, numbers

    nothing = jnp.zeros(len(box.plates), real)
    start = (emitted, jnp.asarray(photons, jnp.int32), jnp.zeros((), jnp.int32), (nothing, nothing))
    return jax.lax.while_loop(lambda state: state[1] > 0, step, start)[3]


def _leave(vertex: Vertex, first: Array, second: Array) -> Vector:
    """A direction, as the kind of the vertex says."""
    isotropic, scattered, diffuse = 1 - 2 * first, rayleigh_cosine(first), jnp.sqrt(1 - first)
    cosine = jnp.where(
        vertex.kind == EMISSION, isotropic, jnp.where(vertex.kind == SCATTERING, scattered, diffuse)
    )
    sine = jnp.sqrt(jnp.maximum(1 - cosine**2, 0.0))
    angle = 2 * np.pi * second
    along, across = sine * jnp.cos(angle), sine * jnp.sin(angle)
    first_side, second_side = _sides(vertex.before)
    turned = _vector(
        *(along * first_side[k] + across * second_side[k] + cosine * vertex.before[k] for k in range(3))
    )
    mirrored = vertex.kind == SPECULAR
    return _vector(*(jnp.where(mirrored, vertex.before[k], turned[k]) for k in range(3)))


def _sides(axis: Vector) -> tuple[Vector, Vector]:
    """Two unit vectors that make a frame with the unit `axis`: Duff et al., JCGT 6 (2017) 1."""
    x, y, z = axis
    sign = jnp.where(z < 0, -1.0, 1.0).astype(z.dtype)
    a = -1 / (sign + z)
    b = x * y * a
    return _vector(1 + sign * x * x * a, sign * b, -sign * x), _vector(b, sign + y * y * a, -y)


def _distance(at: Array, direction: Array, low: Array, high: Array) -> Array:
    """To the wall ahead along an axis."""
    moves = direction != 0
    speed = jnp.where(moves, direction, 1.0)
    far = (jnp.where(direction > 0, high, low) - at) / speed
    return jnp.where(moves, jnp.maximum(far, 0.0), jnp.inf)


def _aim(
    box: LightBox, point: Vector, uniform: Float[Array, " 2"]
) -> tuple[Float[Array, " p"], tuple[Array, Array, Array], Float[Array, " p"]]:
    """Of a point on every plate: solid angle in the mean, direction (two sides, normal), distance."""
    real = point[0].dtype
    along, across = box.in_plane(point)
    half, inwards = (jnp.asarray(part, real) for part in (box.plates.half, box.plates.inwards))
    offset = [point[k] - jnp.asarray(box.plates.center[:, k], real) for k in range(3)]
    height = offset[0] * inwards[:, 0] + offset[1] * inwards[:, 1] + offset[2] * inwards[:, 2]
    in_front = height > 0
    d = jnp.where(in_front, height, 1.0)
    low, high = jnp.arctan((-half[:, 0] - along) / d), jnp.arctan((half[:, 0] - along) / d)
    x = d * jnp.tan(low + uniform[0] * (high - low))
    strip2 = x**2 + d**2
    y_low, y_high = -half[:, 1] - across, half[:, 1] - across
    sine_low, sine_high = y_low / jnp.sqrt(strip2 + y_low**2), y_high / jnp.sqrt(strip2 + y_high**2)
    sine = sine_low + uniform[1] * (sine_high - sine_low)
    y = jnp.sqrt(strip2) * sine / jnp.sqrt(jnp.maximum(1 - sine**2, 1e-12))
    y = jnp.clip(y, y_low, y_high)
    far = jnp.sqrt(strip2 + y**2)
    solid_angle = jnp.where(in_front, (high - low) * (sine_high - sine_low), 0.0)
    return solid_angle, (x / far, y / far, d / far), far


def _density(box: LightBox, vertex: Vertex, towards: tuple[Array, Array, Array]) -> Float[Array, " p"]:
    """Of directions behind the vertex, per solid angle, towards every plate."""
    before, inwards = vertex.before, jnp.asarray(box.plates.inwards, vertex.way.dtype)
    normal = before[0] * inwards[:, 0] + before[1] * inwards[:, 1] + before[2] * inwards[:, 2]
    cosine = box.along(before, 0) * towards[0] + box.along(before, 1) * towards[1] - normal * towards[2]
    scattered = 3 / (16 * np.pi) * (1 + cosine**2)
    diffuse = jnp.maximum(cosine, 0.0) / np.pi
    behind = jnp.where(vertex.kind == SCATTERING, scattered, diffuse)
    return jnp.where(vertex.kind == EMISSION, 1 / (4 * np.pi), behind)


def _vector(x: Array, y: Array, z: Array) -> Vector:
    return x, y, z
