"""One line about a detector, from its YAML alone: building all TPCs would take a minute."""

from typing import Any

import numpy as np
import yaml

from dptoolkit import units
from dptoolkit.config import build, source_text
from dptoolkit.tanks import AbstractTank


def overview(name: str) -> dict[str, Any]:
    """Name, kind, read-out, number of volumes and channels, description."""
    config = yaml.safe_load(source_text(name))
    describe = {"OpticalDetector": _optical}.get(config.get("type", ""), _argon)
    return {"name": name, **describe(config), "description": config.get("description", "")}


def _optical(config: dict[str, Any]) -> dict[str, Any]:
    sensors = build(AbstractTank, config["tank"], "tank").sensors
    return {"kind": "OpticalDetector", "readout": "photosensors", "volumes": 1, "channels": len(sensors)}


def _argon(config: dict[str, Any]) -> dict[str, Any]:
    volumes = config.get("volumes", {})
    n_volumes = len(volumes.get("boxes", [])) * len(volumes.get("modules", [0]))
    defaults = config.get("plane_defaults", {})
    planes = [{**defaults, **plane} for plane in config.get("planes", [])]
    wires = [plane for plane in planes if plane.get("type") == "WirePlane"]
    readout = f"wires {' '.join(str(plane.get('name')) for plane in wires)}" if wires else "pixels"
    plates = len(config["light"]["plates"]["centers"]) if "light" in config else 0
    return {
        "kind": "LArTPC",
        "readout": f"{readout}, light" if plates else readout,
        "volumes": n_volumes,
        "channels": sum(_channels(plane, config, n_volumes) for plane in planes) + plates * n_volumes,
    }


def _channels(plane: dict[str, Any], config: dict[str, Any], n_volumes: int) -> int:
    if plane.get("wrapped"):
        faces = config.get("anode", {}).get("faces", [[0, 0]])
        return int(plane["wrapped"]) * len({face[0] for face in faces})
    across, up = _face(config["volumes"])
    if plane.get("type") != "WirePlane":
        pitch = units.parse(plane["pitch"], "cm")
        return round(across / pitch) * round(up / pitch) * len(plane.get("serves") or range(n_volumes))
    angle = units.parse(plane.get("angle", 0.0), "rad")
    extent = across * abs(np.cos(angle)) + up * abs(np.sin(angle))
    return int(plane.get("n_wires", extent / units.parse(plane["pitch"], "cm") + 1e-6)) * n_volumes


def _face(volumes: dict[str, Any]) -> tuple[float, float]:
    """Extent (across, up) of the anode faces [cm]."""
    box = volumes["boxes"][0]
    size = [units.parse(length, "cm") for length in box.get("size", volumes.get("size"))]
    up = "xyz".index(str(volumes.get("up", "+y"))[-1])
    drift = "xyz".index(str(box["drift"])[-1])
    return size[3 - up - drift], size[up]
