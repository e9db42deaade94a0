"""Detectors as YAML: one file a detector, built into the classes it names.

Every key is a field of a class, a `type:` picks a class by its name among those that exist, and a
number may carry its unit as text ("1.6 mm/us"). What a class needs beyond its fields it takes in
`from_config`. Adding a physics effect is adding its class; nothing has to be registered here.

`load_detector(name)` reads one; `to_yaml(detector)` writes text from which the same detector, with the
same parameter values, is built again.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import dptoolkit
from dptoolkit import units
from dptoolkit.charge.nominal import Nominal
from dptoolkit.detector import LArTPC
from dptoolkit.geometry import Volumes
from dptoolkit.light.argon import ArgonLight
from dptoolkit.optical import OpticalDetector
from dptoolkit.params import Component, infos, replace

Detector = LArTPC | OpticalDetector

_ROOM = 2.0
"""Tables provide for diffusion constants up to this many times the nominal ones."""

_SEARCHED = ("charge", "light", "tanks", "surrogates")
"""Sub-packages whose classes a `type:` may name."""


def detector_names(kind: str = "") -> list[str]:
    """Names of the detectors that come with the package; those of one of `KINDS` if it is given."""
    files = [file for file in _folder().iterdir() if file.name.endswith(".yaml")]
    chosen = [file for file in files if kind in ("", _kind(yaml.safe_load(file.read_text("utf-8"))))]
    return sorted(file.name.removesuffix(".yaml") for file in chosen)


def _kind(config: dict[str, Any]) -> str:
    return config.get("type", next(iter(KINDS)))


def load_detector(name: str | Path) -> Detector:
    """The detector of this name, or of the YAML file at this path."""
    return from_yaml(source_text(name), str(name))


def load_tpc(name: str | Path) -> LArTPC:
    """As `load_detector`, for what is done with drift volumes and their charge."""
    return tpc(load_detector(name))


def tpc(detector: Detector) -> LArTPC:
    """The charge of the detector, if it is a TPC; without its light."""
    if not isinstance(detector, LArTPC):
        raise ValueError(
            f"detector {detector.name!r} is of type {type(detector).__name__}, without drift volumes; "
            f"expected a LArTPC: 'dptoolkit detectors' lists them"
        )
    if detector.light is None:
        return detector
    config = yaml.safe_load(detector.source)
    config.pop("light", None)
    return dataclasses.replace(detector, light=None, source=yaml.safe_dump(config, sort_keys=False))


def load_tpc_with_light(name: str | Path) -> LArTPC:
    """The detector of this name, or of a YAML file, if it has charge and light."""
    detector = load_detector(name)
    if not isinstance(detector, LArTPC) or detector.light is None:
        raise ValueError(f"detector {detector.name!r} has no light of argon; expected one such as 2x2")
    return detector


def source_text(name: str | Path) -> str:
    """YAML text of the named detector or file."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ValueError(f"detector file {path} does not exist")
        return path.read_text(encoding="utf-8")
    if str(name) not in detector_names():
        close = get_close_matches(str(name), detector_names(), n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"no detector {str(name)!r}: {hint}expected one of {', '.join(detector_names())}, or a YAML file"
        )
    return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def from_yaml(text: str, where: str = "detector") -> Detector:
    """A detector from YAML text; `where` names it in messages."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{where}: expected a mapping of keys to values, got {type(config).__name__}")
    config = dict(config)
    changes = config.pop("set", {})
    config.pop("description", None)
    kind = _kind(config)
    config.pop("type", None)
    if kind not in KINDS:
        raise ValueError(f"{where}: type {kind!r} is unknown; expected one of {', '.join(KINDS)}")
    return replace(KINDS[kind](config, where, text), changes)


def _optical(config: dict[str, Any], where: str, text: str) -> OpticalDetector:
    return OpticalDetector(source=text, **_fields(OpticalDetector, config, where, skip=("source",)))


def _argon(config: dict[str, Any], where: str, text: str) -> LArTPC:
    volumes = _volumes(config.pop("volumes", None), f"{where}: volumes")
    defaults = config.pop("plane_defaults", {})
    planes = config.pop("planes", None)
    if not isinstance(planes, list) or not planes:
        raise ValueError(f"{where}: planes: expected a list of read-out planes")
    anode, light = config.pop("anode", {}), config.pop("light", None)
    kwargs = _fields(LArTPC, config, where, skip=("volumes", "planes", "light", "source"))
    if light is not None:
        kwargs["light"] = ArgonLight.from_config(light, volumes, build, f"{where}: light")
    merged = [{**defaults, **plane} if isinstance(plane, dict) else plane for plane in planes]
    nominal = _nominal(kwargs, volumes, merged, anode)
    built = tuple(
        _plane(plane, position, nominal, f"{where}: planes[{position}]")
        for position, plane in enumerate(merged)
    )
    names = [plane.name for plane in built]
    if len(set(names)) != len(names):
        raise ValueError(f"{where}: planes: names must differ, got {names}")
    if light is not None and kwargs["light"].name in names:
        raise ValueError(f"{where}: planes: {kwargs['light'].name!r} is the name of the light")
    return LArTPC(volumes=volumes, planes=built, source=text, **kwargs)


KINDS: dict[str, Callable[[dict[str, Any], str, str], Detector]] = {
    "LArTPC": _argon,
    "OpticalDetector": _optical,
}
"""How a detector of a `type:` is built of (configuration, where it stands, text); first the default."""


def to_yaml(detector: Detector) -> str:
    """YAML from which this detector is built again, its parameter values included."""
    config = yaml.safe_load(detector.source)
    config.pop("set", None)
    original = infos(from_yaml(yaml.safe_dump(config)))
    changes: dict[str, Any] = {}
    for path, info in infos(detector).items():
        if not np.array_equal(np.asarray(info.value), np.asarray(original[path].value)):
            changes[path] = np.asarray(info.value, float).tolist()
    if changes:
        config["set"] = changes
    return yaml.safe_dump(config, sort_keys=False)


def _nominal(parts: Mapping[str, Any], volumes: Volumes, planes: list[Any], anode: Any) -> Nominal:
    field, drift, diffusion = parts["field"], parts["drift"], parts["diffusion"]
    speed = float(drift.speed(field.nominal()))
    time = volumes.drift_length / speed
    length = 2 * parts.get("step", LArTPC.step) / np.sqrt(12)
    return Nominal(
        volumes=volumes,
        planes=planes,
        anode=anode,
        efield=float(field.nominal()),
        speed=speed,
        temperature=float(getattr(drift, "temperature", 87.17)),
        widest=float(np.sqrt(_ROOM * 2 * diffusion.transverse * time + length**2)),
        longest=float(np.sqrt(_ROOM * 2 * diffusion.longitudinal * time + length**2)) / speed,
        build=build,
        leftover=_leftover,
    )


def _leftover(config: dict[str, Any], where: str, names: tuple[str, ...]) -> dict[str, Any]:
    unknown = [key for key in config if key not in names]
    if unknown:
        raise ValueError(
            f"{where}: unknown key {unknown[0]!r}" + (f"; expected {', '.join(names)}" if names else "")
        )
    return config


def build(cls: type, config: Any, where: str) -> Any:
    """An instance of `cls`, or of the final class that `type:` names below an abstract `cls`."""
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise ValueError(f"{where}: expected a mapping of keys to values, got {config!r}")
    config = dict(config)
    cls = _choose(cls, config.pop("type", None), where)
    try:
        if hasattr(cls, "from_file"):
            if set(config) != {"file"}:
                raise ValueError(f"expected 'file' alone beside type: {cls.__name__}")
            return cls.from_file(config["file"])
        return cls(**_fields(cls, config, where))
    except (ValueError, TypeError) as error:
        text = str(error)
        raise ValueError(text if text.startswith(where) else f"{where}: {text}") from None


def choices(cls: type) -> dict[str, type]:
    """The final classes below `cls`, by name."""
    _import_all()
    found: dict[str, type] = (
        {} if inspect.isabstract(cls) or cls.__name__.startswith("Abstract") else {cls.__name__: cls}
    )
    for child in cls.__subclasses__():
        found.update(choices(child))
    return found


def _choose(cls: type, name: str | None, where: str) -> type:
    known = choices(cls)
    if name is None:
        if len(known) == 1:
            return next(iter(known.values()))
        raise ValueError(f"{where}: expected 'type:', one of {', '.join(known)}")
    if name not in known:
        raise ValueError(f"{where}: type {name!r} is unknown; expected one of {', '.join(known)}")
    return known[name]


def _fields(cls: type, config: Mapping[str, Any], where: str, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init and field.name not in skip}
    hints = typing.get_type_hints(cls, include_extras=True)
    unknown = [key for key in config if key not in fields]
    if unknown:
        close = get_close_matches(str(unknown[0]), fields, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; {hint}expected {', '.join(fields)}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        hint, here = hints[name], f"{where}.{name}" if ":" in where else f"{where}: {name}"
        spec = field.metadata.get("param")
        nested = inspect.isclass(hint) and issubclass(hint, Component)
        if nested:
            if name in config or field.default is dataclasses.MISSING:
                values[name] = build(hint, config.get(name), here)
        elif name in config:
            unit = spec.unit if spec else field.metadata.get("unit")
            values[name] = _value(config[name], unit, hint, here)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}: {name!r} is missing")
    return values


def _value(raw: Any, unit: str | None, hint: Any, where: str) -> Any:
    """A number of a field with a `unit`, a tuple of them, or what else the hint says."""
    several, kind = typing.get_origin(hint) is tuple, (typing.get_args(hint) or (None,))[0]
    if several and not isinstance(raw, list | tuple):
        raise ValueError(f"{where}: expected a list, got {raw!r}")
    if several and kind in (int, float):
        return tuple(_value(item, unit, kind, where) for item in raw)
    try:
        if hint not in (int, str, bool) and unit is not None:
            return (
                [units.parse(item, unit) for item in raw] if isinstance(raw, list) else units.parse(raw, unit)
            )
        if hint is float:
            return units.parse(raw, "1")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if hint in (int, str, bool) and (not isinstance(raw, hint) or (hint is int and isinstance(raw, bool))):
        raise ValueError(f"{where}: expected {hint.__name__}, got {raw!r}")
    return raw


def _volumes(config: Any, where: str) -> Volumes:
    if not isinstance(config, dict):
        raise ValueError(f"{where}: expected a mapping with size, up and boxes")
    unknown = set(config) - {"size", "up", "boxes", "modules"}
    if unknown:
        raise ValueError(f"{where}: unknown key {sorted(unknown)[0]!r}; expected size, up, boxes, modules")
    boxes = config.get("boxes")
    if not isinstance(boxes, list) or not boxes:
        raise ValueError(f"{where}: boxes: expected a list of {{center, drift}}")
    modules = config.get("modules", [[0.0, 0.0, 0.0]])
    centers, sizes, drift, names = [], [], [], []
    for index, module in enumerate(modules):
        for position, box in enumerate(boxes):
            here = f"{where}: boxes[{position}]"
            if not isinstance(box, dict) or {"center", "drift"} - set(box):
                raise ValueError(f"{here}: expected a mapping with center and drift, got {box!r}")
            centers.append(
                np.add(_lengths(module, f"{where}: modules[{index}]"), _lengths(box["center"], here))
            )
            sizes.append(_lengths(box.get("size", config.get("size")), f"{here}: size"))
            drift.append(str(box["drift"]))
            name = str(box.get("name", position))
            names.append(f"{index}/{name}" if len(modules) > 1 else name)
    return Volumes.from_boxes(
        np.array(centers), np.array(sizes), drift, up=str(config.get("up", "+y")), names=names
    )


def _lengths(raw: Any, where: str) -> list[float]:
    if not isinstance(raw, list) or len(raw) != 3:
        raise ValueError(f"{where}: expected three lengths such as [1 m, 2 m, 3 m], got {raw!r}")
    try:
        return [units.parse(item, "cm") for item in raw]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _plane(config: Any, position: int, nominal: Nominal, where: str) -> Any:
    known = {name: cls for name, cls in choices(Component).items() if hasattr(cls, "from_config")}
    if not isinstance(config, dict):
        raise ValueError(f"{where}: expected a mapping of keys to values, got {config!r}")
    config = dict(config)
    name = config.pop("type", None)
    if name not in known:
        raise ValueError(f"{where}: type {name!r} is unknown; expected one of {', '.join(known)}")
    try:
        return known[name].from_config(config, position, nominal, where)
    except (ValueError, TypeError) as error:
        text = str(error)
        raise ValueError(text if text.startswith(where) else f"{where}: {text}") from None


@lru_cache(maxsize=1)
def _import_all() -> None:
    for package in _SEARCHED:
        folder = Path(dptoolkit.__file__).parent / package
        if folder.is_dir():
            for module in pkgutil.iter_modules([str(folder)]):
                importlib.import_module(f"dptoolkit.{package}.{module.name}")


def _folder() -> Any:
    return resources.files("dptoolkit") / "detectors"
