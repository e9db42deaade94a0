"""Events spread over several devices; in a process of its own, whose CPU pretends to be four devices."""

import json
import os
import subprocess
import sys

import numpy as np

SCRIPT = """
import dataclasses, json, sys
import jax, jax.numpy as jnp, numpy as np
from dptoolkit.inference import Experiment, GaussianChi2, Problem
from tests.inference.decay import NOISE, TRUTH, Charge, Decay

model, truth, charges = Decay(), dataclasses.replace(Decay(), **TRUTH), [1.0, 1.2, 0.7, 2.0, 1.5, 0.9]
models = [dataclasses.replace(model, blocks=5 if c > 1.4 else 3) for c in charges]
experiments = [Experiment(model, Charge(jnp.asarray(c))) for c in charges]
observed = [
    dataclasses.replace(truth, blocks=m.blocks)(jnp.asarray(c), key=jax.random.key(i))
    for i, (c, m) in enumerate(zip(charges, models))
]
problem = Problem(experiments, ["height", "lifetime", "slope"], GaussianChi2(noise=NOISE), observed)
told = []
problem.watch = lambda what, done, total: told.append((what, done, total))
z = problem.start + 0.1
points = np.stack([z, z + 0.1, z - 0.1])
normal = problem.normal(z)
found = {
    "loss": normal.loss, "value": problem.value(z), "slope": normal.gradient, "matrix": normal.matrix,
    "gradient": problem.gradient(z)[1], "hessian": problem.hessian(z), "residuals": problem.residuals(z),
    "product": problem.curvature(z)(np.arange(4.0)), "losses": problem.losses(points),
    "normals": [one.matrix for one in problem.normals(points)], "informations": problem.informations(z),
}
print(json.dumps({
    "devices": len(jax.devices()),
    "told": told,
    "found": {name: np.asarray(value).tolist() for name, value in found.items()},
}))
"""


def on_devices(n: int) -> dict:
    """What `SCRIPT` says with n devices."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={n}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_four_devices_share_six_events_of_two_shapes_and_agree_with_one_to_rounding():
    one, four = on_devices(1), on_devices(4)
    assert (one["devices"], four["devices"]) == (1, 4)
    for name, value in one["found"].items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(four["found"][name], value, atol=1e-12 * scale, err_msg=name)
    assert [entry for entry in four["told"] if entry[0] == "computing derivatives"] == [
        ["computing derivatives", done, 6] for done in range(1, 7)
    ]
