"""Settings of a gateway: one frozen object, read once from a mapping; limits with their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from capsule.batch import MAX_BATCH_FRAMES
from capsule.frame import MAX_FRAME_BYTES
from gateway.errors import SettingsError

__all__ = ["GatewaySettings"]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What an operator chooses. Raises SettingsError naming the setting that is out of its range."""

    batch_frames: int = 10_000
    """a batch is due with so many frames"""
    batch_seconds: float = 60.0
    """or when its oldest frame has waited so long"""
    finality_seconds: float = 120.0
    """how long anchoring waits for finality before it leaves the rest to the next round"""
    refresh_seconds: float = 1.0
    """how old the view of enrolled devices may be"""
    ahead_seconds: int = 300
    """readings later than the gateway's clock by more are an incident"""
    max_frame_bytes: int = MAX_FRAME_BYTES
    max_export_bytes_in_memory: int = 8 << 20
    """a larger export is spooled to disk while it is served"""
    body_seconds: float = 30.0
    """how long a client may take to send a frame"""
    anchor_poll_seconds: float = 1.0
    """how often the service looks whether a batch is due"""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch_frames", 1, MAX_BATCH_FRAMES),
            ("batch_seconds", 0, float("inf")),
            ("finality_seconds", 0, float("inf")),
            ("refresh_seconds", 0, float("inf")),
            ("ahead_seconds", 0, 2**53),
            ("max_frame_bytes", 1, MAX_FRAME_BYTES),
            ("max_export_bytes_in_memory", 0, 2**53),
            ("body_seconds", 0.01, 3600),
            ("anchor_poll_seconds", 0.01, 3600),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"gateway setting {name} is {value}, not within {low} to {high}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> GatewaySettings:
        """Reads settings by name from text or numbers. Raises SettingsError for an unknown name or a bad value."""
        defaults = cls()
        kinds: dict[str, type[int] | type[float]] = {
            item.name: type(getattr(defaults, item.name)) for item in fields(cls)
        }
        read: dict[str, int | float] = {}
        for name, value in values.items():
            kind = kinds.get(name)
            if kind is None:
                raise SettingsError(f"there is no gateway setting {name!r}; remove or correct it")
            if not isinstance(value, str | int | float):
                raise SettingsError(f"gateway setting {name} is neither text nor a number")
            try:
                read[name] = kind(value)
            except ValueError as exc:
                raise SettingsError(f"gateway setting {name} can't be read: {value!r:.40}") from exc
        return cls(**read)  # type: ignore[arg-type]
