"""Thing models: names, units, ranges and physics of a kind of device's readings, and the checks that they imply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from capsule.ids import Digest
from capsule.thing.electric_vehicle import ELECTRIC_VEHICLE
from capsule.thing.model import ThingModel
from capsule.thing.storage_station import STORAGE_STATION, STORAGE_STATION_SIMULATOR

__all__ = ["ELECTRIC_VEHICLE", "MODELS", "STORAGE_STATION", "STORAGE_STATION_SIMULATOR", "ThingModel"]

MODELS: Final[Mapping[Digest, ThingModel]] = {
    model.hash: model for model in (STORAGE_STATION, STORAGE_STATION_SIMULATOR, ELECTRIC_VEHICLE)
}
"""The models that this version knows, by their hash on chain."""
