"""Parameters are declared once: value, unit, bounds, symbol and source in one field.

    class Drift(Component):
        lifetime: Array = param(2200.0, "us", bounds=(100.0, 1e6), symbol="tau_e", reference="...")

At run time a parameter is a plain array. Fits, tables, sliders, files and documentation read the
declaration through `infos(model)`; `replace(model, {...})` and `free(model, paths)` address the
same leaves by their path (`drift.lifetime`, `planes.U.gain`, `sensor.gain[12]`).
"""

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dptoolkit import units


@dataclass(frozen=True)
class ParamSpec:
    """What a parameter declares besides its value."""

    unit: str
    bounds: tuple[float, float]
    symbol: str = ""
    reference: str = ""
    typical: tuple[float, float] | None = None
    """The values met in practice. Calibrations free the parameters that have them; toys draw truths there."""
    scale: str = "linear"
    """In what an observable is nearly linear: the value, its "inverse" or its "log"; fits move in it."""


@dataclass(frozen=True)
class ParamInfo:
    """A parameter of a model: where it is, what it is now and what it declares."""

    path: str
    value: Array
    unit: str
    bounds: tuple[float, float]
    symbol: str
    reference: str
    typical: tuple[float, float] | None
    scale: str


SCALES = ("linear", "inverse", "log")


def param(
    default: Any = dataclasses.MISSING,
    unit: str = "1",
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    symbol: str = "",
    reference: str = "",
    typical: tuple[float, float] | None = None,
    scale: str = "linear",
) -> Any:
    """Field of a `Component` that holds a physical parameter in `unit`; see `ParamSpec`."""
    if scale not in SCALES or (scale != "linear" and not bounds[0] > 0):
        raise ValueError(f"scale = {scale!r}: expected one of {SCALES}, with positive bounds unless linear")
    spec = ParamSpec(unit, bounds, symbol, reference, typical, scale)
    kwargs = {} if default is dataclasses.MISSING else {"default": default}
    return eqx.field(converter=lambda value: _as_array(value, unit), metadata={"param": spec}, **kwargs)


def setting(unit: str = "1", default: Any = dataclasses.MISSING) -> Any:
    """Field of a `Component` for what is fixed when it is built: a number in `unit`, or several."""
    kwargs = {} if default is dataclasses.MISSING else {"default": default}
    return eqx.field(static=True, metadata={"unit": unit}, **kwargs)


class Component(eqx.Module):
    """Base of everything that declares parameters; checks them when it is built."""

    def __check_init__(self) -> None:
        for field in dataclasses.fields(self):
            spec = field.metadata.get("param")
            if spec is not None:
                _check(f"{type(self).__name__}.{field.name}", getattr(self, field.name), spec)


def infos(model: Any) -> dict[str, ParamInfo]:
    """Every parameter of `model`, nested ones too, by path."""
    return {
        path: ParamInfo(path, value, **dataclasses.asdict(spec)) for path, value, spec in _walk(model, "")
    }


def get(model: Any, path: str) -> Array:
    """The value at `path` (`drift.lifetime`, `sensor.gain[12]`)."""
    stem, index = _parse_path(path)
    value = _node(model, _require(model, stem).path)
    _check_index(path, index, value)
    return value if index is None else value[index]


def replace(model: Any, values: Mapping[str, Any]) -> Any:
    """`model` with new values; text carries its unit: `{"drift.lifetime": "3 ms"}`."""
    known = infos(model)
    for path, value in values.items():
        stem, index = _parse_path(path)
        info = known.get(stem) or _require(model, stem)
        stem = info.path
        spec = ParamSpec(info.unit, info.bounds)
        try:
            array = _as_array(value, info.unit)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        _check(path, array, spec)
        model = _set(model, stem, index, array)
    return model


@dataclass(frozen=True)
class Free:
    """Selected leaves of a model, as a dictionary, and the way back."""

    model: Any
    values: dict[str, Array]

    def merge(self, values: Mapping[str, Array]) -> Any:
        """The model with `values` in place of the selected leaves; differentiable."""
        model = self.model
        for path, value in values.items():
            stem, index = _parse_path(path)
            model = _set(model, stem, index, value)
        return model


def free(model: Any, paths: Sequence[str]) -> Free:
    """Select the leaves at `paths`; shell wildcards are allowed (`planes.*.gain`)."""
    known = list(infos(model))
    selected: dict[str, Array] = {}
    for path in paths:
        matches = fnmatch.filter(known, path) if "*" in path else [path]
        for match in matches or [_require(model, path).path]:
            selected[match] = get(model, match)
    return Free(model, selected)


def _as_array(value: Any, unit: str) -> Array:
    if isinstance(value, str):
        value = units.parse(value, unit)
    if isinstance(value, list | tuple):
        value = [units.parse(item, unit) for item in value]
    if isinstance(value, jax.Array):
        return value
    if value is None or isinstance(value, bool):
        raise ValueError(f"expected a number in {unit!r}, got {value!r}")
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"expected a number in {unit!r}, got {value!r}") from None
    return jnp.asarray(array, dtype=jnp.result_type(float))


def _check(name: str, value: Any, spec: ParamSpec) -> None:
    if isinstance(value, jax.core.Tracer) or not isinstance(value, jax.Array):
        return
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return
    array = np.asarray(value, dtype=np.float64)
    low, high = spec.bounds
    slack = 1e-6 * max(abs(low) if np.isfinite(low) else 0.0, abs(high) if np.isfinite(high) else 0.0)
    if np.isnan(array).any() or (array < low - slack).any() or (array > high + slack).any():
        shown = f"{array:g}" if array.ndim == 0 else f"{array.min():g} .. {array.max():g}"
        unit = "" if spec.unit == "1" else f" {spec.unit}"
        raise ValueError(f"{name} = {shown}{unit}: expected a value between {low:g} and {high:g}{unit}")


def _walk(node: Any, prefix: str) -> Iterator[tuple[str, Array, ParamSpec]]:
    for name, child, spec in _children(node):
        path = f"{prefix}.{name}" if prefix else name
        if spec is None:
            yield from _walk(child, path)
        else:
            yield path, child, spec


def _children(node: Any) -> Iterator[tuple[str, Any, ParamSpec | None]]:
    if isinstance(node, eqx.Module):
        for field in dataclasses.fields(node):
            if not field.metadata.get("static", False):
                yield field.name, getattr(node, field.name, None), field.metadata.get("param")
    elif isinstance(node, tuple | list):
        for position, item in enumerate(node):
            yield str(getattr(item, "name", position)), item, None
    elif isinstance(node, dict):
        for key, item in node.items():
            yield str(key), item, None


def _node(model: Any, stem: str) -> Any:
    node = model
    for part in stem.split("."):
        node = next(child for name, child, _ in _children(node) if name == part)
    return node


def _require(model: Any, stem: str) -> ParamInfo:
    known = infos(model)
    for candidate in (stem, f"detector.{stem}", stem.removeprefix("detector.")):
        if candidate in known:
            return known[candidate]
    close = get_close_matches(stem, known, n=4, cutoff=0.4) or list(known)[:8]
    raise ValueError(f"no parameter {stem!r}; did you mean one of {', '.join(close)}?")


def _set(model: Any, stem: str, index: int | None, value: Any) -> Any:
    node = _node(model, stem)
    if index is not None:
        _check_index(f"{stem}[{index}]", index, node)
        value = node.at[index].set(value)
    else:
        value = _broadcast(value, node, stem)
    where: Callable[[Any], Any] = lambda tree: _node(tree, stem)  # noqa: E731
    return eqx.tree_at(where, model, value)


def _check_index(path: str, index: int | None, value: Array) -> None:
    if index is not None and (value.ndim == 0 or index >= len(value)):
        choices = f"an index below {len(value)}" if value.ndim else "no index: it is a single number"
        raise ValueError(f"{path}: expected {choices}")


def _broadcast(value: Any, node: Any, stem: str) -> Any:
    if jnp.shape(value) == jnp.shape(node):
        return value
    try:
        return jnp.broadcast_to(value, jnp.shape(node))
    except ValueError:
        raise ValueError(f"{stem}: expected shape {jnp.shape(node)}, got {jnp.shape(value)}") from None


def _parse_path(path: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(?P<stem>[A-Za-z0-9_.\-]+)(\[(?P<index>\d+)\])?", path)
    if match is None:
        raise ValueError(f"{path!r} is not a parameter path such as 'drift.lifetime' or 'sensor.gain[12]'")
    return match["stem"], None if match["index"] is None else int(match["index"])
