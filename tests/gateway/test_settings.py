"""Settings are read once, by name, within their limits."""

from __future__ import annotations

import pytest

from gateway.errors import SettingsError
from gateway.settings import GatewaySettings


def test_settings_from_text_and_numbers() -> None:
    settings = GatewaySettings.from_mapping({"batch_frames": "50", "batch_seconds": 1, "refresh_seconds": "0.5"})
    assert (settings.batch_frames, settings.batch_seconds, settings.refresh_seconds) == (50, 1.0, 0.5)
    assert GatewaySettings.from_mapping({}) == GatewaySettings()


def test_the_environment_overrides_and_a_password_does_not_show() -> None:
    url = "postgresql+psycopg://me:hidden@host/frames"
    environment = {"DATASPACE_GATEWAY_DATABASE": url, "DATASPACE_GATEWAY_BATCH_FRAMES": "7", "DATASPACE_PORT": "1"}
    settings = GatewaySettings.from_mapping({"batch_frames": 5, "batch_seconds": 2}, environment)
    assert (settings.database, settings.batch_frames, settings.batch_seconds) == (url, 7, 2.0)
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"batch_size": 1}, "no gateway setting 'batch_size'"),
        ({"batch_frames": "many"}, "batch_frames can't be read"),
        ({"batch_frames": None}, "neither text nor a number"),
        ({"batch_frames": 0}, "not within 1 to"),
        ({"batch_frames": 2**21}, "not within 1 to"),
        ({"batch_seconds": -1}, "not within 0"),
        ({"batch_seconds": "nan"}, "not within 0"),
        ({"max_frame_bytes": 2**21}, "not within 1 to"),
    ],
)
def test_bad_settings_are_named(values: dict[str, object], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        GatewaySettings.from_mapping(values)
