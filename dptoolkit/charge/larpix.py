"""LArPix: pixels that trigger themselves, hold, digitise and start again.

After a reset the integrator stands at q_r ~ N(0, reset noise). The comparator sees

    v_k = q_r + Q(t_k) - Q(reset) + n_k,    n_k ~ N(0, uncorrelated noise),

at every tick and is linear in between, so it fires at t*, where v crosses the threshold. The charge at
t* + hold is digitised with noise of its own; one tick later integration starts again, and the charge of
that tick is lost. This is the loop of larnd-sim (`fee.py`) but for its discriminator noise, its second
look at the threshold and its pause of nine ticks. `time` is t*; larnd-sim writes t* + hold.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dptoolkit.charge.averages import (
    charge_at,
    from_0_to_1,
    mean_below,
    moments,
    positive_moments,
    shares,
    smooth_root,
)
from dptoolkit.charge.first_passage import first_passage, reset_grid
from dptoolkit.charge.pixel_hits import Before, PerHit, PerPixel, PixelHits
from dptoolkit.charge.triggers import Branch, Triggers, Waveform, Ways, length_so_far, mean_trigger
from dptoolkit.params import Component, param, setting

RESET_TICKS = 1
"""Ticks between digitisation and the start of the next integration (larnd-sim, RESET_CYCLES)."""

CELLS = 48
"""Groups of ticks of equal hazard per pixel and hit, two abscissae each."""

UNLIKELY = 1e-6
"""Later hits are not looked for once no pixel got so far with this probability."""

BLUR = 0.03
"""Width of the border between two branches, in their distance: branches change smoothly."""

LEAST_SPREAD = 0.01
"""Of a time, in ticks: what the interpolation between ticks resolves."""

SHARPEST = 0.1
"""Narrowest comparator noise that the nodes of the reset charge resolve, in its standard deviations."""


class LArPix(Component):
    """Self-triggering front end and ADC = (gain q + V_pedestal - V_cm) / (V_ref - V_cm) 2^bits.

    The expectation is the first passage of v: with F(z) the normal distribution, a pixel with reset
    charge q_r has not fired at tick k with probability prod_j<=k F((threshold - q_r - Q_j) / sigma).
    The product runs over `CELLS` groups of ticks, the reset charge over `RESET_NODES`. A later hit starts
    from one of two branches, which differ in the charge lost to the hits before: each has its mean reset
    time and charge, and the spread of that charge is added to the reset noise. Where the hits before are
    known (`before`), integration starts again at a known time, and every hit is as exact as the first.
    Without noise both calls follow the crossings of Q exactly.

    Against samples: the first hit within 0.4 % in probability, 0.05 us and 20 e; later hits of one rise
    within 0.02 us and 30 e; after two far pulses, either of which can make the first hit, within 0.006,
    0.1 us and 120 e; unlikely ones (P < 0.001) within their own size. Saturation is averaged over the
    noise, rounding is not (500 e without noise).
    """

    threshold: Array = param(5000.0, "electron", bounds=(100.0, 1e5), symbol="q_thr", reference="larnd-sim")
    reset_noise: Array = param(900.0, "electron", bounds=(0.0, 1e4), symbol="sigma_r", reference="larnd-sim")
    uncorrelated_noise: Array = param(
        500.0, "electron", bounds=(0.0, 1e4), symbol="sigma_u", reference="larnd-sim"
    )
    hold: Array = param(1.8, "us", bounds=(0.0, 20.0), symbol="t_hold", reference="larnd-sim")
    gain: Array = param(4.0, "uV/e", bounds=(0.5, 20.0), symbol="g", reference="larnd-sim")
    v_ref: Array = param(1282.7, "mV", bounds=(800.0, 1800.0), symbol="V_ref", reference="larnd-sim")
    v_cm: Array = param(284.3, "mV", bounds=(0.0, 700.0), symbol="V_cm", reference="larnd-sim")
    v_pedestal: Array = param(580.0, "mV", bounds=(0.0, 1000.0), symbol="V_ped", reference="larnd-sim")
    bits: int = eqx.field(static=True, default=8)
    tick: float = setting("us", default=0.1)
    """[us]"""
    max_hits: int = eqx.field(static=True, default=8)

    def __check_init__(self) -> None:
        if self.bits < 1 or self.max_hits < 1 or self.tick <= 0:
            shown = f"bits = {self.bits}, max_hits = {self.max_hits}, tick = {self.tick} us"
            raise ValueError(f"LArPix: {shown}: expected positive values")

    def __call__(
        self,
        charge: Waveform,
        time0: PerPixel,
        key: PRNGKeyArray | None = None,
        before: Before | None = None,
    ) -> PixelHits:
        """Hits of pixels with cumulative `charge` [electrons] at `time0` + k tick, linear in between.

        It begins at 0 and stays at its last value; the comparator stops with the waveform. An expectation
        may be one of every hit given that the hits `before` it happened as they did.
        """
        if before is not None:
            triggers = self._after_known(charge, (before.time - time0[:, None]) / self.tick, before.happened)
            collected, adc = self._digitised(triggers)
        elif key is None:
            quiet = (self.reset_noise == 0) & (self.uncorrelated_noise == 0)
            averaged = lambda q: self._first_passages(q)  # noqa: E731
            triggers = jax.lax.cond(quiet, lambda q: self._crossings(q), averaged, charge)
            collected, adc = self._digitised(triggers)
        else:
            of_ticks, of_resets, of_adc = jax.random.split(key, 3)
            shape = (charge.shape[0], self.max_hits)
            noise = self.uncorrelated_noise * jax.random.normal(of_ticks, charge.shape, charge.dtype)
            resets = self.reset_noise * jax.random.normal(of_resets, shape, charge.dtype)
            triggers = self._crossings(charge, noise, resets)
            late = self.uncorrelated_noise * jax.random.normal(of_adc, shape, charge.dtype)
            exact = self.to_adc(triggers.charge + late)
            adc = exact + jax.lax.stop_gradient(jnp.clip(jnp.round(exact), 0, self.adc_max) - exact)
            collected = self.from_adc(adc)
        return self._report(triggers, collected, adc, charge, time0)

    def integrated(self, charge: Waveform, time0: PerPixel, before: Before) -> PerPixel:
        """Charge that pixels integrate in the windows of known hits [electrons], of `charge` as in a call.

        It is linear in `charge` and knows no threshold: what resets lose is left out, and what follows the
        last hit. The sum of the hits' charges differs from it by noise of mean zero.
        """
        position = (before.time - time0[:, None]) / self.tick
        held = charge_at(charge, position + self._hold_ticks)
        passed = held - charge_at(charge, self._starts(position, before.happened))
        return jnp.sum(jnp.where(before.happened, passed, 0.0), axis=1)

    def left(self, charge: Waveform, time0: PerPixel, before: Before) -> PerPixel:
        """Charge that follows the last of the known hits, up to the end of `charge` [electrons]."""
        position = (before.time - time0[:, None]) / self.tick
        again = jnp.max(jnp.where(before.happened, position + self._hold_ticks + RESET_TICKS, 0.0), axis=1)
        return charge[:, -1] - charge_at(charge, again[:, None])[:, 0]

    @property
    def adc_max(self) -> int:
        """The highest count."""
        return 2**self.bits - 1

    def to_adc(self, charge: Array) -> Array:
        """Counts of a charge [electrons], neither rounded nor limited."""
        return (charge * self.gain * 1e-3 + self.v_pedestal - self.v_cm) / self._step

    def from_adc(self, adc: Array | int) -> Array:
        """Charge of a count [electrons]."""
        return (adc * self._step - self.v_pedestal + self.v_cm) / (self.gain * 1e-3)

    @property
    def hit_noise(self) -> Array:
        """Of the charge of a hit: that of reset and comparator, and rounding [electrons]."""
        return jnp.sqrt(self.reset_noise**2 + self.uncorrelated_noise**2 + self._rounding)

    @property
    def helping_noise(self) -> Array:
        """S of the mean noise S f(z) / F(z) in the charge of a hit that has the probability F(z) [electrons].

        f and F are the normal density and distribution. Only the reset charge both helps to reach the
        threshold and is digitised: sigma_r^2 over the width of all that helps; that of the highest of some
        ten ticks of comparator noise is about half that of one.
        """
        helped = smooth_root(self.reset_noise**2 + (self.uncorrelated_noise / 2) ** 2)
        return self.reset_noise**2 / jnp.where(helped > 0, helped, 1.0)

    @property
    def _rounding(self) -> Array:
        """Variance of the rounding to counts [electrons^2]."""
        return (self._step / (self.gain * 1e-3)) ** 2 / 12

    @property
    def _step(self) -> Array:
        """[mV] a count."""
        return (self.v_ref - self.v_cm) / 2**self.bits

    @property
    def _hold_ticks(self) -> Array:
        return self.hold / self.tick

    def _digitised(self, triggers: Triggers) -> tuple[PerHit, PerHit]:
        """Mean charge and count under the noise, saturation included."""
        spread = smooth_root(triggers.spread**2 + self.uncorrelated_noise**2)
        collected = mean_below(triggers.charge, self.from_adc(self.adc_max), spread)
        return collected, self.to_adc(collected)

    def _report(
        self, triggers: Triggers, collected: PerHit, adc: PerHit, charge: Waveform, time0: PerPixel
    ) -> PixelHits:
        real = triggers.probability > 0
        restart = triggers.position[:, -1:] + self._hold_ticks + RESET_TICKS
        remaining = charge[:, -1] - charge_at(charge, restart)[:, 0]

        def in_us(position: PerHit) -> PerHit:
            return jnp.where(real, time0[:, None] + self.tick * position, 0.0)

        charge_sigma, time_sigma, correlation = self._widths(triggers)
        return PixelHits(
            charge_sigma=jnp.where(real, charge_sigma, 0.0),
            time_sigma=jnp.where(real, time_sigma, 0.0),
            correlation=jnp.where(real, correlation, 0.0),
            charge=jnp.where(real, collected, 0.0),
            time=in_us(triggers.position),
            probability=triggers.probability,
            adc=jnp.where(real, adc, 0.0),
            window_start=in_us(triggers.start),
            window_end=in_us(triggers.position + self._hold_ticks),
            overflow=jnp.where(remaining >= self.threshold, triggers.probability[:, -1], 0.0),
        )

    def _widths(self, triggers: Triggers) -> tuple[PerHit, PerHit, PerHit]:
        """Standard deviations of charge and time, and their correlation: noise and ADC steps."""
        charge = jnp.sqrt(triggers.spread**2 + self.uncorrelated_noise**2 + self._rounding)
        position = jnp.sqrt(triggers.position_spread**2 + LEAST_SPREAD**2)
        return charge, self.tick * position, triggers.covariance / (charge * position)

    def _crossings(
        self, charge: Waveform, noise: Waveform | float = 0.0, resets: PerHit | float = 0.0
    ) -> Triggers:
        """Hits for given comparator noise and reset charges."""
        seen = charge + noise
        ticks = jnp.arange(charge.shape[1])
        resets = jnp.broadcast_to(jnp.asarray(resets, charge.dtype), (charge.shape[0], self.max_hits))

        def next_hit(state: tuple[PerPixel, PerPixel], reset: PerPixel) -> tuple:
            alive, start = state
            base = charge_at(charge, start[:, None])[:, 0]
            level = base + self.threshold - reset
            fires = (seen >= level[:, None]) & (ticks >= start[:, None])
            hit = alive * jnp.any(fires, axis=1)
            after = jnp.argmax(fires, axis=1)[:, None]
            above = jnp.take_along_axis(seen, after, axis=1)[:, 0] - level
            below = level - jnp.take_along_axis(seen, jnp.maximum(after - 1, 0), axis=1)[:, 0]
            between = (hit > 0) & (below > 0)
            fraction = jnp.where(between, above, 0.0) / jnp.where(between, above + below, 1.0)
            position = jnp.where(hit > 0, jnp.maximum(start, after[:, 0] - fraction), 0.0)
            end = position[:, None] + self._hold_ticks
            collected = charge_at(charge, end)[:, 0] - base + reset
            none = jnp.zeros_like(hit)
            trigger = Triggers(position, start, hit, collected, none, none, none)
            return (hit, end[:, 0] + RESET_TICKS), trigger

        nothing = jnp.zeros_like(charge[:, 0])
        _, triggers = jax.lax.scan(next_hit, (nothing + 1, nothing), resets.T)
        return jax.tree.map(jnp.transpose, triggers)

    def _first_passages(self, charge: Waveform) -> Triggers:
        """Hits averaged over the noise."""
        path = length_so_far(charge)

        def next_hit(branches: tuple[Branch, Branch], _: None) -> tuple:
            ways = [self._ways(charge, path, branch) for branch in branches]
            chances = [jnp.sum(way.probability, axis=1) for way in ways]
            found = jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), *ways)
            probability = chances[0] + chances[1]
            starts = sum(chance * branch.start for chance, branch in zip(chances, branches, strict=True))
            trigger = mean_trigger(found, starts / jnp.where(probability > 0, probability, 1.0))
            late = self._late(shares(found.probability), found.lost)
            return tuple(self._after(found, share) for share in (1 - late, late)), trigger

        nothing = jnp.zeros_like(charge[:, 0])
        begun = Branch(nothing + 1, nothing, nothing, nothing)
        never = Branch(nothing, nothing, nothing, nothing)
        _, triggers = jax.lax.scan(jax.checkpoint(next_hit), (begun, never), None, length=self.max_hits)
        return jax.tree.map(jnp.transpose, triggers)

    def _after_known(self, charge: Waveform, position: PerHit, happened: Bool[Array, "p h"]) -> Triggers:
        """Every hit averaged over the noise, given the hits before it: where they were [ticks]."""
        path, none = length_so_far(charge), jnp.zeros_like(charge[:, :1])
        starts = self._starts(position, happened)
        alive = jnp.concatenate([none + 1, happened[:, :-1].astype(charge.dtype)], axis=1)
        bases = charge_at(charge, starts).at[:, 0].set(0.0)

        def hit(column: tuple[PerPixel, PerPixel, PerPixel]) -> Triggers:
            reached, start, base = column
            ways = self._ways(charge, path, Branch(reached, start, base, jnp.zeros_like(base)))
            return mean_trigger(ways, start)

        triggers = jax.lax.map(jax.checkpoint(hit), (alive.T, starts.T, bases.T))
        return jax.tree.map(jnp.transpose, triggers)

    def _starts(self, position: PerHit, happened: Bool[Array, "p h"]) -> PerHit:
        """When the integration of every hit begins [ticks], where the hits before it are known."""
        again = jnp.where(happened, position + self._hold_ticks + RESET_TICKS, 0.0)
        return jnp.concatenate([jnp.zeros_like(again[:, :1]), again[:, :-1]], axis=1)

    def _ways(self, charge: Waveform, path: Waveform, branch: Branch) -> Ways:
        """All ways to the next hit; none of a branch that is unlikely for every pixel."""

        def look(branch: Branch) -> Ways:
            start, base = branch.start[:, None], branch.base[:, None]
            deviation = smooth_root(self.reset_noise**2 + branch.variance)
            sigma = jnp.maximum(self.uncorrelated_noise, SHARPEST * deviation)
            node, ticks = self._cells(path, branch.start, deviation + sigma)
            level = self.threshold - deviation[:, None] * reset_grid()
            height = charge_at(charge, node) - base
            passage = first_passage(height, ticks, level, sigma)
            slope = height - (charge_at(charge, node - 1) - base)
            over = height - passage.level
            above, above_variance = positive_moments(over, sigma[:, None])
            below, below_variance = positive_moments(slope - over, sigma[:, None])
            early = above / (above + below)
            position = jnp.maximum(node + passage.lag - early, start)
            end = position + self._hold_ticks
            held, lost = charge_at(charge, end), charge_at(charge, end + RESET_TICKS)
            noise = (1 - early) ** 2 * above_variance + early**2 * below_variance
            # within its tick the crossing moves by d level lever / jump, by less than a tick
            level = passage.level_variance
            lever = ((1 - early) * above_variance + early * below_variance) / sigma[:, None] ** 2
            jump = jnp.sqrt(jnp.maximum((above + below) ** 2, 12 * (level * lever**2 + noise)))
            delay = lever / jump
            current = (lost - held) / RESET_TICKS
            return Ways(
                probability=branch.reached[:, None] * passage.probability,
                position=position,
                collected=held - base + self.threshold - passage.level,
                charge_variance=level * (current * delay - 1) ** 2 + noise * (current / jump) ** 2,
                position_variance=level * delay**2 + noise / jump**2,
                covariance=level * (current * delay - 1) * delay + noise * current / jump**2,
                lost=lost,
            )

        none = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(look, branch))
        return jax.lax.cond(jnp.any(branch.reached > UNLIKELY), look, lambda _: none, branch)

    def _late(self, weight: Float[Array, "p c"], lost: Float[Array, "p c"]) -> Float[Array, "p c"]:
        """Share of each way to a hit that is counted with the larger of two lost charges.

        The two have the mean, variance and third moment of all: they are sqrt(4 m2 + (m3 / m2)^2) apart
        around m1 + m3 / (2 m2). If that is less than the noise, there is one.
        """
        mean, variance = moments(weight, lost)
        spread = variance > 1.0  # [electrons^2]: less is rounding
        third = jnp.sum(weight * (lost - mean[:, None]) ** 3, axis=1)
        lean = jnp.where(spread, third, 0.0) / (2 * jnp.where(spread, variance, 1.0))
        apart = 2 * jnp.sqrt(jnp.where(spread, variance, 1.0) + lean**2)
        noise = jnp.sqrt(self.reset_noise**2 + self.uncorrelated_noise**2)
        seen = jnp.clip(2 * apart / jnp.maximum(noise, 1.0) - 1, 0.0, 1.0)
        seen = jnp.where(spread, seen**2 * (3 - 2 * seen), 0.0)
        beyond = (lost - (mean + lean)[:, None]) / (BLUR * apart[:, None])
        return seen[:, None] * jax.nn.sigmoid(beyond)

    def _after(self, ways: Ways, share: Float[Array, "p c"]) -> Branch:
        """Where the integration goes on after this `share` of the ways."""
        weight = shares(ways.probability * share)
        start = jnp.sum(weight * ways.position, axis=1) + self._hold_ticks + RESET_TICKS
        reached = jnp.sum(ways.probability * share, axis=1)
        return Branch(reached, start, *moments(weight, ways.lost))

    def _cells(
        self, path: Waveform, start: PerPixel, width: PerPixel
    ) -> tuple[Float[Array, "p c"], Float[Array, "p c"]]:
        """Abscissae in ticks, and how many ticks each stands for.

        Groups are short where the charge passes the threshold or moves a hold time later, seen in the
        length of its `path`, sum |dQ|. n ticks around a centre are represented by
        centre +- sqrt((n^2 - 1) / 12), n / 2 ticks each: exact for a cubic, and for n = 1 and 2 always.
        """
        start, width, threshold, hold = jax.lax.stop_gradient(
            (start, width[:, None], self.threshold, self._hold_ticks)
        )
        n_ticks = path.shape[1]
        first = jnp.clip(jnp.ceil(start), 0, n_ticks).astype(int)[:, None]
        ticks = jnp.maximum(jnp.arange(n_ticks), first)
        later = jnp.minimum(jnp.arange(n_ticks) + jnp.round(hold).astype(int), n_ticks - 1)
        passed = path - charge_at(path, start[:, None])
        passed = jnp.clip(passed, threshold - 5 * width, threshold + 8 * width)
        moments = ((0.55, passed), (0.15, path[:, later]), (0.3, ticks.astype(path.dtype)))
        progress = sum(share * from_0_to_1(x, first) for share, x in moments)
        inner = jax.vmap(lambda x: jnp.searchsorted(x, jnp.arange(1, CELLS) / CELLS))(progress)
        edges = jnp.concatenate([first, jnp.maximum(inner, first), jnp.full_like(first, n_ticks)], axis=1)
        n = jnp.diff(edges, axis=1).astype(path.dtype)
        centre = (edges[:, 1:] + edges[:, :-1] - 1) / 2
        half = jnp.sqrt(jnp.maximum(n**2 - 1, 0.0) / 12)
        node = jnp.stack([centre - half, centre + half], axis=2).reshape(len(n), -1)
        return node, jnp.repeat(n / 2, 2, axis=1)
