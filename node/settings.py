"""Settings of one home: read once from `dataspace.toml` and `DATASPACE_*`, frozen, limits with their units."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final
from urllib.parse import urlsplit

from capsule.errors import InputError
from capsule.ids import Address, Digest
from node.errors import SettingsError

__all__ = ["Settings", "render_settings"]

_GATEWAY = "gateway"
_LAST_PORT: Final = 65_535
_SCHEMES: Final = ("http", "https")
_WANTED_URL: Final = "give http://HOST:PORT or https://HOST:PORT"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an organisation chooses for its node. Empty `chain_urls` means the embedded chain of this home.

    `notice_seconds`: so long before its end an agreement is told to be ending, at most a quarter of its time.
    `own_node`: the one endpoint is this organisation's own node in the chain's network, whose word it takes.
    """

    chain_urls: tuple[str, ...] = ()
    chain_id: int = 0
    genesis_hash: Digest | None = None
    directory: Address | None = None
    endpoint: str = ""
    host: str = "127.0.0.1"
    port: int = 8440
    poll_seconds: float = 0.5
    own_node: bool = False
    trust_single_endpoint: bool = False
    allow_unprotected_runtime: bool = False
    releases_per_day: int = 10_000
    log_anchor_seconds: int = 600
    clock_skew_seconds: int = 120
    notice_seconds: int = 7 * 86_400
    peer_timeout_seconds: float = 20.0
    max_document_bytes: int = 16 * 1024 * 1024
    max_capsule_bytes: int = 1024 * 1024 * 1024 * 1024
    run_seconds: int = 300
    run_memory_bytes: int = 4 * 1024 * 1024 * 1024
    run_fuel: int = 20_000_000_000
    result_bytes: int = 64 * 1024 * 1024
    gateway: tuple[tuple[str, str | int | float], ...] = field(default=(), repr=False)
    """The table [gateway], whose names and limits are the gateway's; it may hold a password."""

    def __post_init__(self) -> None:
        """Raises SettingsError, so that a home never holds what no later command can work with."""
        for url in self.chain_urls:
            _check_url("chain_urls", url)
        if self.endpoint:
            _check_url("endpoint", self.endpoint)
        if not 1 <= self.port <= _LAST_PORT:
            raise SettingsError(f"the setting 'port' is {self.port}; give one of 1 to {_LAST_PORT}")

    @classmethod
    def load(cls, toml: str, environment: Mapping[str, str]) -> "Settings":
        """Reads the file's text, then lets `DATASPACE_<NAME>` override; raises SettingsError naming the setting."""
        try:
            given: dict[str, Any] = tomllib.loads(toml)
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"dataspace.toml can't be read: {error}") from error
        gateway = given.pop(_GATEWAY, {})
        if not isinstance(gateway, dict) or not all(isinstance(value, str | int | float) for value in gateway.values()):
            raise SettingsError("dataspace.toml has a setting 'gateway' that is no table of texts and numbers")
        defaults = {item.name: item.default for item in fields(cls) if item.name != _GATEWAY}
        for name in given:
            if name not in defaults:
                raise SettingsError(f"dataspace.toml has an unknown setting '{name}'; remove or correct it")
        for name in defaults:
            if (text := environment.get(f"DATASPACE_{name.upper()}")) is not None:
                given[name] = text
        read = {name: _parse(name, defaults[name], value) for name, value in given.items()}
        return cls(**read, gateway=tuple(gateway.items()))


def _check_url(name: str, url: str) -> None:
    """Only a wrong scheme is told back: user, path and query may hold a provider's API key."""
    try:
        parts = urlsplit(url)
        scheme, good = parts.scheme, bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, url))
    except ValueError:  # half an IPv6 address, or a port that is none
        scheme, good = "http", False
    if scheme not in _SCHEMES:
        raise SettingsError(f"the setting '{name}' has a URL of scheme '{scheme:.20}'; {_WANTED_URL}")
    if not good:
        raise SettingsError(f"the setting '{name}' has a URL whose host or port can't be read; {_WANTED_URL}")


def _parse(name: str, default: object, value: Any) -> Any:
    try:
        if name == "genesis_hash":
            return Digest.parse(value)
        if name == "directory":
            return Address.parse(value)
        if isinstance(default, tuple):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(str(part).strip() for part in parts if str(part).strip())
        if isinstance(default, bool):
            if str(value).lower() not in ("true", "false", "1", "0"):
                raise ValueError(value)
            return str(value).lower() in ("true", "1")
        if isinstance(default, int | float):
            return type(default)(value)
        return str(value)
    except (ValueError, TypeError, InputError) as error:
        raise SettingsError(f"the setting '{name}' has a value that can't be read: {value!r}") from error


def render_settings(settings: Settings) -> str:
    """The `dataspace.toml` that `Settings.load` reads back; settings at their default are left out."""
    lines = []
    for item in fields(settings):
        value = getattr(settings, item.name)
        if value == item.default or item.name == _GATEWAY:
            continue
        if isinstance(value, tuple):
            lines.append(f"{item.name} = [{', '.join(_quote(part) for part in value)}]")
        elif isinstance(value, bool):
            lines.append(f"{item.name} = {str(value).lower()}")
        elif isinstance(value, int | float):
            lines.append(f"{item.name} = {value}")
        else:
            lines.append(f"{item.name} = {_quote(str(value))}")
    if settings.gateway:
        lines.append(f"\n[{_GATEWAY}]")
        lines += [
            f"{name} = {_quote(value) if isinstance(value, str) else str(value).lower()}"
            for name, value in settings.gateway
        ]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
