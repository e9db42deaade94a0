"""The same function of many points and batches of events: stacked by shape, and spread over the devices.

Every device computes its own share with the program that one device would run, so that results agree to
rounding whatever the number of devices.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from dptoolkit.inference.experiment import Batch

Item = tuple[Any, Batch]
"""A point, such as coordinates z, and a batch of events."""
TOGETHER = 8
"""Items that a device other than a CPU computes side by side."""
EVENTS = "events"
"""Name of the axis that is spread over the devices."""
MOST = 4
"""Most cores that become devices: each holds the derivatives of a batch of events, 1 to 2 GB."""


def use_all_cores() -> int:
    """Let JAX see each core of a CPU as a device, so that events are spread over them; the number of devices.

    To be called before anything is computed; later it changes nothing. A number in XLA_FLAGS
    (--xla_force_host_platform_device_count) wins.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
            jax.config.update("jax_num_cpu_devices", min(cores, MOST))
    except RuntimeError:  # JAX has begun
        pass
    return len(jax.local_devices())


def of_each(function: Callable[..., Any], setup: Any, items: Sequence[Item]) -> Iterator[tuple[int, Any]]:
    """(number, `function(*setup, point, batch)`) of every item as soon as known: one at a time a device."""
    n_devices = len(jax.local_devices())
    if n_devices == 1:
        for number, (point, batch) in enumerate(items):
            yield number, jax.block_until_ready(function(*setup, point, batch))
        return
    for group in _alike(items):
        for first in range(0, len(group), n_devices):
            part = group[first : first + n_devices]
            yield from zip(part, _stacked_results(function, setup, [items[i] for i in part]), strict=True)


def of_all(function: Callable[..., Any], setup: Any, items: Sequence[Item]) -> list[Any]:
    """The same as a list, for many small items: all of a shape in one compiled call."""
    found: list[Any] = [None] * len(items)
    for group in _alike(items):
        for number, result in zip(
            group, _stacked_results(function, setup, [items[i] for i in group]), strict=True
        ):
            found[number] = result
    return found


def _stacked_results(function: Callable[..., Any], setup: Any, items: Sequence[Item]) -> list[Any]:
    """Of items of one shape. Blank ones are added, so that few sizes compile and devices share equally."""
    n_devices = len(jax.local_devices())
    share = 4 ** int(np.ceil(np.log2(np.ceil(len(items) / n_devices)) / 2))
    blank = share * n_devices - len(items)
    stacked = jax.tree.map(
        lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *items, *blank * [items[0]]
    )
    real = jnp.arange(share * n_devices) < len(items)
    found = jax.tree.map(np.asarray, _mapped(function, setup, real, stacked))
    return [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(len(items))]


@eqx.filter_jit
def _mapped(function: Any, setup: Any, real: Array, stacked: Item) -> Any:
    """One after the other on a CPU, where side by side is slower; `TOGETHER` at once on other devices."""
    width = None if jax.default_backend() == "cpu" else TOGETHER
    numbers, rest = eqx.partition(setup, eqx.is_array)

    def share(numbers: Any, real: Array, items: Item) -> Any:
        full = eqx.combine(numbers, rest)

        def one(item: tuple[Array, Item]) -> Any:
            is_real, where = item
            shapes = jax.eval_shape(lambda: function(*full, *where))
            nothing = lambda: jax.tree.map(lambda like: jnp.zeros(like.shape, like.dtype), shapes)  # noqa: E731
            return jax.lax.cond(is_real, lambda: function(*full, *where), nothing)

        return jax.lax.map(one, (real, items), batch_size=width)

    whole, split = PartitionSpec(), PartitionSpec(EVENTS)
    spread = jax.shard_map(
        share,
        mesh=Mesh(np.array(jax.local_devices()), (EVENTS,)),
        in_specs=(whole, split, split),
        out_specs=split,
        check_vma=False,
    )
    return spread(numbers, real, stacked)


def _alike(items: Sequence[Item]) -> list[list[int]]:
    """Numbers of the items that the compiler cannot tell apart, together."""
    groups: dict[Any, list[int]] = {}
    for number, (_, batch) in enumerate(items):
        leaves, structure = jax.tree.flatten(batch)
        shapes = tuple((np.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)
        groups.setdefault((structure, shapes), []).append(number)
    return list(groups.values())
