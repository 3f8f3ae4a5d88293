"""The commands of a new deal, rebinding and shredding, against running services."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from node.service import build_app
from scripts.composition import Api
from scripts.main import build_app as build_commands
from tests.node.space import TOKEN, Offered, Space, build_space

NAMES = ("provider", "custodian-1", "custodian-2")


@contextmanager
def served(space: Space, name: str, home: Path) -> Iterator[None]:
    """A member's service at a port of this machine, found by its home."""
    config = uvicorn.Config(build_app(space[name].node, TOKEN), "127.0.0.1", 0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    home.mkdir()
    Api(f"http://127.0.0.1:{port}", TOKEN).write(home / "api.json")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with build_space(tmp_path_factory.mktemp("space")) as space:
        yield space


@pytest.fixture(scope="module")
def homes(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("homes")
    with ExitStack() as stack:
        for name in NAMES:
            stack.enter_context(served(space, name, folder / name))
        yield {name: folder / name for name in NAMES}


def run(home: Path, *words: object, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(build_commands(str(words[0])), [*map(str, words), "--home", str(home), "--json"])
    assert result.exit_code == status, result.output
    answer: dict[str, Any] = json.loads(result.stdout) if status == 0 else {"said": result.stderr}
    return answer


def read(home: Path, *words: object) -> str:
    """What a command prints for people, through a pipe."""
    result = CliRunner().invoke(build_commands(str(words[0])), [*map(str, words), "--home", str(home)])
    assert result.exit_code == 0, result.output
    return result.stdout


def confirmed(space: Space, homes: dict[str, Path], offered: Offered) -> str:
    """An opening that two custodians confirmed and released for, by commands alone."""
    opened = run(homes["provider"], "asset", "open-deal", offered.asset, "--reason", "a custodian leaves")
    opening = str(opened["opening"])
    for name in NAMES[1:]:
        (asked,) = [one for one in run(homes[name], "custody", "openings")["openings"] if one["opening"] == opening]
        assert (asked["state"], asked["reason"]) == ("unanswered", "a custodian leaves")
        assert asked["asset"] == str(offered.asset)
        assert run(homes[name], "custody", "confirm", opening)["state"] == "confirmed"
        decided = run(homes[name], "custody", "decide")["decided"]
        assert {"use": opening, "released": True, "reason": 0} in decided
    (listed,) = [one for one in run(homes["provider"], "asset", "openings")["openings"] if one["opening"] == opening]
    assert len(listed["released"]) == listed["threshold"] == 2
    return opening


def plan(space: Space) -> list[object]:
    return ["--custodian", space.custodians[0], "--custodian", space.custodians[1], "--threshold", 1]


def test_deal_and_rebind(space: Space, homes: dict[str, Path], tmp_path: Path) -> None:
    offered = space.offered(least_threshold=1)
    provider = homes["provider"]
    said = run(provider, "asset", "deal", offered.asset, *plan(space), status=2)["said"]
    assert "asset open-deal" in said
    confirmed(space, homes, offered)
    dealt = run(provider, "asset", "deal", offered.asset, *plan(space), "--waiting-seconds", 0)
    assert (dealt["version"], dealt["stage"]) == (1, "delivered")
    assert dealt["deal"] != str(offered.deal.hash)
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(space.policy(offered.asset, least_threshold=1, uses_per_grant=7)))
    opened = run(provider, "asset", "open-deal", offered.asset, "--reason", "another policy")
    run(homes["custodian-2"], "custody", "confirm", opened["opening"], "--refuse", "--reason", "not now")
    (decided,) = run(homes["custodian-2"], "custody", "decide")["decided"]
    assert decided == {"use": opened["opening"], "released": False, "reason": 17}
    rebind = ("asset", "rebind", offered.asset, "--policy", policy, *plan(space))
    assert "0 of the 1 shares" in run(provider, *rebind, status=3)["said"]
    run(homes["custodian-1"], "custody", "confirm", opened["opening"])
    run(homes["custodian-1"], "custody", "decide")
    rebound = run(provider, *rebind)
    assert (rebound["version"], rebound["stage"]) == (2, "delivered")
    assert run(provider, "asset", "openings") == {"openings": []}


def test_people_follow_an_opening_by_copying_its_id_whatever_its_reason_says(
    space: Space, homes: dict[str, Path]
) -> None:
    offered = space.offered()
    reason = "x[/y] [bold]trust me[/bold] \x1b]0;title\a\x1b[31m\nstate  confirmed \u202e"
    opened = read(homes["provider"], "asset", "open-deal", offered.asset, "--reason", reason)
    (opening,) = [words[1] for words in map(str.split, opened.splitlines()) if words[0] == "opening"]
    asked = read(homes["custodian-1"], "custody", "openings")
    assert opening in asked
    assert r"x[/y] [bold]trust me[/bold] \x1b]0;title\x07\x1b[31m\x0astate  confirmed \u202e" in asked
    assert not [one for one in asked if not one.isprintable() and one != "\n"]
    assert run(homes["custodian-1"], "custody", "confirm", opening)["state"] == "confirmed"


def test_shred(space: Space, homes: dict[str, Path]) -> None:
    offered = space.offered()
    (signed,) = run(homes["custodian-1"], "custody", "shred", "--deal", offered.deal.hash)["statements"]
    assert (signed["statement"]["deal"], signed["statement"]["index"]) == (str(offered.deal.hash), 1)
    (own,) = run(homes["provider"], "custody", "shred", "--asset", offered.asset)["statements"]
    assert own["statement"]["index"] == 0
    assert "was shredded" in run(homes["provider"], "custody", "shred", "--asset", offered.asset, status=2)["said"]
    assert "name one deal or one asset" in run(homes["provider"], "custody", "shred", status=2)["said"]
