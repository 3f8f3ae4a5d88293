import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsule.ids import Address, Digest
from node.errors import SettingsError
from node.settings import Settings, render_settings

FULL = Settings(
    chain_urls=("http://127.0.0.1:8545", 'http://x/"quoted"'),
    chain_id=31337,
    genesis_hash=Digest(bytes(range(32))),
    directory=Address(bytes(range(20))),
    endpoint="https://node.example",
    port=9000,
    poll_seconds=0.25,
    trust_single_endpoint=True,
    gateway=(
        ("batch_frames", 50),
        ("batch_seconds", 0.5),
        ("database", 'postgresql+psycopg://me:"secret"@host/frames'),
    ),
)


def test_settings_read_back_what_was_written() -> None:
    assert Settings.load(render_settings(FULL), {}) == FULL
    assert Settings.load(render_settings(Settings()), {}) == Settings()


def test_a_password_in_the_gateway_s_table_does_not_show() -> None:
    assert "secret" not in repr(FULL)


def test_environment_overrides_the_file() -> None:
    settings = Settings.load("port = 1\n", {"DATASPACE_PORT": "2", "DATASPACE_CHAIN_URLS": "http://a, http://b"})
    assert settings.port == 2
    assert settings.chain_urls == ("http://a", "http://b")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", "prot"),
        ('port = "many"', "port"),
        ('directory = "0x12"', "directory"),
        ('trust_single_endpoint = "perhaps"', "trust_single_endpoint"),
        ("port = ", "dataspace.toml"),
        ("port = 99999", "port"),
        ("port = 0", "port"),
        ('endpoint = "node.example"', "endpoint"),
        ("gateway = 1", "gateway"),
        ("[gateway]\nbatch_frames = [1]", "gateway"),
    ],
)
def test_wrong_settings_are_named(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Settings.load(text, {})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x:8545",
        "http://",
        "http://[::1",
        "http://h:99999",
        "http://h:0",
        "http://h:x",
        "http://a b",
        "file:///x",
    ],
)
def test_a_chain_endpoint_is_a_url_that_can_be_asked(url: str) -> None:
    with pytest.raises(SettingsError, match=r"'chain_urls' has a URL .*; give http://HOST:PORT or https://HOST:PORT$"):
        Settings(chain_urls=("http://127.0.0.1:8545", url))


def test_a_refused_url_does_not_show_its_key() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings(chain_urls=("wss://user:secret@h/v3/secret?key=secret",))
    assert "'wss'" in str(refused.value)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_settings_or_a_settings_error(text: str) -> None:
    with contextlib.suppress(SettingsError):
        Settings.load(text, {})
