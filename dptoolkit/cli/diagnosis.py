"""What `doctor` finds out: versions, devices, and whether the physics adds up on this machine."""

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dptoolkit
from dptoolkit.config import load_detector
from dptoolkit.detector import LArTPC
from dptoolkit.events import bucket, pad, segments_from_arrays
from dptoolkit.params import free
from dptoolkit.totals import measure

PACKAGES = ("jax", "jaxlib", "equinox", "numpy", "scipy", "h5py", "pint", "typer")
PACKAGES += ("bokeh", "holoviews", "panel")
PATH = "drift.lifetime"
"""The parameter whose gradient is checked."""


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
    """Charge is conserved, and a gradient is what a finite difference says."""
    detector = load_detector("small-wire")
    segments = segments_from_arrays(np.array([[-8.0, 0, 0]]), np.array([[-7.0, 0.4, 0.6]]), np.array([2.5]))
    segments = pad(segments, bucket(1))
    layout = detector.layout(segments)
    totals = measure(detector, segments, layout, detector(segments, layout=layout))
    lost = abs((totals.electrons_collected or 0.0) / totals.electrons_at_anode - 1)
    return [
        _check("charge collected / arrived - 1", lost, 1e-3),
        _check(f"gradient of {PATH} / difference - 1", _gradient_error(detector, segments, layout), 1e-2),
    ]


def _gradient_error(detector: LArTPC, segments: Any, layout: Any) -> float:
    selected = free(detector, [PATH])
    value = float(selected.values[PATH])

    @jax.jit
    def signal(lifetime: jax.Array) -> jax.Array:
        waveforms = selected.merge({PATH: lifetime})(segments, layout=layout)
        return sum((jnp.sum(plane.samples**2) for plane in waveforms.values()), jnp.zeros(()))

    step = 0.05 * value
    middle = jnp.asarray(value)
    _, slope = jax.jvp(signal, (middle,), (jnp.ones_like(middle),))
    difference = (float(signal(middle + step)) - float(signal(middle - step))) / (2 * step)
    return abs(float(slope) / difference - 1)


def _check(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"check": name, "value": value, "limit": limit, "ok": bool(value <= limit)}


def _browser() -> str | None:
    from dptoolkit.views.export import find_browser

    try:
        return find_browser()
    except RuntimeError:
        return None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
