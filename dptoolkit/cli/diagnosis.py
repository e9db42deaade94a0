"""What `doctor` finds out: versions, devices, and whether the physics adds up on this machine."""

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import dptoolkit
from dptoolkit.charge.drift import MobilityDrift
from dptoolkit.charge.quanta import Quanta
from dptoolkit.charge.recombination import Birks
from dptoolkit.charge.spread import hat_weights
from dptoolkit.views.browser import find_browser

PACKAGES = ("jax", "jaxlib", "equinox", "numpy", "scipy", "h5py", "pint", "typer")
PACKAGES += ("bokeh", "holoviews", "panel")
PATH = "drift.lifetime"
"""The parameter whose gradient is checked."""
STEP = 0.05
"""Of the finite difference, relative."""


def diagnose(cache: Path | None) -> dict[str, Any]:
    """Everything there is to say; `ok` is False where a check failed."""
    start = time.perf_counter()
    checks = self_check()
    return {
        "dptoolkit": dptoolkit.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "backend": jax.default_backend(),
        "devices": [str(device) for device in jax.devices()],
        "precision": str(jnp.result_type(float)),
        "cache": str(cache) if cache else None,
        "chromium": _browser(),
        "checks": checks,
        "ok": all(check["ok"] for check in checks),
        "seconds": round(time.perf_counter() - start, 2),
    }


def self_check() -> list[dict[str, Any]]:
    """Charge is conserved, and a gradient is what a finite difference says: one cloud, no detector."""
    found = _slopes(jnp.asarray(MobilityDrift().lifetime))
    lost, slope, difference = (float(number) for number in found)
    return [
        _check("charge on the grid / arrived - 1", abs(lost), 1e-4),
        _check(f"gradient of {PATH} / difference - 1", abs(slope / difference - 1), 1e-2),
    ]


@jax.jit
def _slopes(lifetime: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(charge lost on the grid, derivative of what arrives by `lifetime`, its finite difference)."""
    (total, on_grid), slope = jax.value_and_grad(_arriving, has_aux=True)(lifetime)
    low, high = (_arriving(lifetime * (1 + step))[0] for step in (-STEP, STEP))
    return jnp.sum(on_grid) / total - 1, slope, (high - low) / (2 * STEP * lifetime)


def _arriving(lifetime: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Electrons of a deposit of 2.5 MeV that arrive after 50 cm, in all and on every node of a grid."""
    drift, field = MobilityDrift(lifetime=lifetime), jnp.array(0.5)
    survival = Birks()(jnp.array([2.1]), field[None], jnp.array([0.0]))
    freed = Quanta().electrons(jnp.array([2.5]), survival)
    total = jnp.sum(freed * drift.surviving(50.0 / drift.speed(field)))
    return total, total * hat_weights(jnp.array([7.3]), jnp.array([1.5]), 16)


def _check(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"check": name, "value": value, "limit": limit, "ok": bool(value <= limit)}


def _browser() -> str | None:
    try:
        return find_browser()
    except RuntimeError:
        return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
