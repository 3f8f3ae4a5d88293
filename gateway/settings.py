"""Settings of a gateway: one frozen object, read once from a mapping; limits with their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from capsule.batch import MAX_BATCH_FRAMES
from capsule.frame import MAX_FRAME_BYTES
from gateway.errors import SettingsError

__all__ = ["ENVIRONMENT_PREFIX", "GatewaySettings"]

ENVIRONMENT_PREFIX = "DATASPACE_GATEWAY_"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """What an operator chooses. Raises SettingsError naming the setting that is out of its range."""

    database: str = field(default="", repr=False)
    """where frames are kept, as a SQLAlchemy URL; empty: SQLite in the home. May hold a password"""
    batch_frames: int = 10_000
    """a batch is due with so many frames"""
    batch_seconds: float = 60.0
    """or when its oldest frame has waited so long"""
    finality_seconds: float = 120.0
    """how long anchoring waits for finality before it leaves the rest to the next round"""
    refresh_seconds: float = 1.0
    """how old the view of enrolled devices may be"""
    stale_seconds: float = 86_400.0
    """how long frames of known devices are taken while the chain can't be asked"""
    ahead_seconds: int = 300
    """readings later than the gateway's clock by more are an incident"""
    max_frame_bytes: int = MAX_FRAME_BYTES
    max_request_bytes: int = 16 << 20
    """of several frames in one request"""
    max_request_frames: int = 4096
    intake_frames: int = 20_000
    """the queue holds so many frames, and tells further ones to come again later"""
    intake_bytes: int = 64 << 20
    """or so many bytes of them"""
    commit_frames: int = 512
    """frames become durable in groups of at most so many"""
    commit_seconds: float = 0.002
    """how long a group waits for company"""
    known_devices: int = 200_000
    """so many devices' places are kept in memory"""
    checked_devices: int = 50_000
    """of so many devices the checks keep what came before, some 3 KiB each; of others they read it again"""
    max_export_bytes_in_memory: int = 8 << 20
    """a larger export is spooled to disk while it is served"""
    connections: int = 4096
    """of HTTP; further ones are answered 503"""
    vehicle_connections: int = 2_000
    """of GB/T 32960; further ones are closed at once"""
    vehicle_login_seconds: float = 30.0
    """how long a connection may be without a vehicle logged in"""
    vehicle_message_seconds: float = 30.0
    """from a message's first byte to its last"""
    vehicle_idle_seconds: float = 300.0
    """between two messages; heartbeats come every 240 s at most"""
    vehicle_answer_seconds: float = 10.0
    """how long a vehicle may take to take an answer"""
    enrolments_at_once: int = 4
    """calls that prove devices of fleets; further ones are told to come again"""
    forks_per_device: int = 100
    """so many frames of a device that contradict others are kept as evidence; further ones are refused alone"""
    body_seconds: float = 30.0
    """how long a client may take to send a frame"""
    anchor_poll_seconds: float = 1.0
    """how often the service looks whether a batch is due"""
    lag_seconds: float = 600.0
    """a frame that waits longer for its anchor makes the gateway not ready"""
    stop_seconds: float = 30.0
    """how long a stop waits for open requests"""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("batch_frames", 1, MAX_BATCH_FRAMES),
            ("batch_seconds", 0, float("inf")),
            ("finality_seconds", 0, float("inf")),
            ("refresh_seconds", 0, float("inf")),
            ("stale_seconds", 0, float("inf")),
            ("ahead_seconds", 0, 2**53),
            ("max_frame_bytes", 1, MAX_FRAME_BYTES),
            ("max_request_bytes", 1, 1 << 30),
            ("max_request_frames", 1, 1 << 20),
            ("intake_frames", 1, 2**31),
            ("intake_bytes", 1, 2**40),
            ("commit_frames", 1, 1 << 20),
            ("commit_seconds", 0, 60),
            ("known_devices", 1, 2**31),
            ("checked_devices", 1, 2**31),
            ("max_export_bytes_in_memory", 0, 2**53),
            ("connections", 1, 2**20),
            ("vehicle_connections", 1, 2**20),
            ("vehicle_login_seconds", 0.01, 86_400),
            ("vehicle_message_seconds", 0.01, 86_400),
            ("vehicle_idle_seconds", 0.01, 86_400),
            ("vehicle_answer_seconds", 0.01, 3600),
            ("enrolments_at_once", 1, 1024),
            ("forks_per_device", 1, 2**31),
            ("body_seconds", 0.01, 3600),
            ("anchor_poll_seconds", 0.01, 3600),
            ("lag_seconds", 0, float("inf")),
            ("stop_seconds", 0, 3600),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"gateway setting {name} is {value}, not within {low} to {high}")

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, object], environment: Mapping[str, str] | None = None
    ) -> GatewaySettings:
        """Reads settings by name from text or numbers, then lets DATASPACE_GATEWAY_<NAME> of `environment` override.

        Raises SettingsError for an unknown name or a bad value.
        """
        defaults = cls()
        kinds: dict[str, type[int] | type[float] | type[str]] = {
            item.name: type(getattr(defaults, item.name)) for item in fields(cls)
        }
        given = dict(values)
        for name in kinds:
            if environment and (text := environment.get(ENVIRONMENT_PREFIX + name.upper())) is not None:
                given[name] = text
        read: dict[str, int | float | str] = {}
        for name, value in given.items():
            kind = kinds.get(name)
            if kind is None:
                raise SettingsError(f"there is no gateway setting {name!r}; remove or correct it")
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise SettingsError(f"gateway setting {name} is neither text nor a number")
            try:
                read[name] = kind(value)
            except ValueError as exc:
                raise SettingsError(f"gateway setting {name} can't be read: {value!r:.40}") from exc
        return cls(**read)  # type: ignore[arg-type]
