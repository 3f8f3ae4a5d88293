"""A gateway takes frames only when the chain confirmed it, and says so when it does not any more."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from contracts.errors import RevertedError
from contracts.ledger import Ledger
from contracts.roles import Role
from gateway import admission
from gateway.errors import AnchorConflictError, RoleError
from gateway.gateway import Gateway
from gateway.service import build_app
from scripts.inprocess import InProcess
from tests.capsule.frames import Device, some_rows
from tests.gateway.space import Space, account_of
from tests.gateway.test_anchoring import _Unreachable
from tests.gateway.test_service import TOKEN, post, problem


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain is asked again without a pause."""
    monkeypatch.setattr(admission, "_ASK_AGAIN_SECONDS", 0)


def client_of(gateway: Gateway) -> httpx.Client:
    return httpx.Client(transport=InProcess(build_app(gateway, TOKEN, anchoring=False)), base_url="http://gateway")


def troubles(gateway: Gateway, client: httpx.Client) -> list[str]:
    gateway.watch._probed = None  # not what was seen a second ago
    answer = client.get("/readyz")
    found: list[str] = answer.json()["troubles"]
    assert answer.status_code == (503 if found else 200)
    return found


def test_an_organisation_without_the_role_gets_no_gateway(space: Space, device: Device, tmp_path: Path) -> None:
    ledger = space.admit(Role.BUYER)
    with space.open_gateway(tmp_path / "gateway", ledger) as gateway, client_of(gateway) as client:
        with pytest.raises(RoleError, match=f"account {account_of(ledger)} has not the role gateway on chain: ask"):
            gateway.check_chain()
        answer = post(client, device.frame(some_rows(0, 1)))
        assert problem(answer) == (503, "unchecked")
        assert answer.headers["retry-after"] == "5"
        assert troubles(gateway, client) == ["role", "unchecked"]
        assert "Role gateway on chain" in client.get("/").text
        assert gateway.status().frames == 0


def test_a_suspended_gateway_is_not_ready_until_it_is_reinstated(space: Space, device: Device, tmp_path: Path) -> None:
    ledger = space.gateway_ledger()
    with space.open_gateway(tmp_path / "gateway", ledger) as gateway, client_of(gateway) as client:
        assert gateway.anchor_due() == ()
        assert troubles(gateway, client) == []
        space.operator.participants.suspend(account_of(ledger), "late fees")
        assert gateway.anchor_due() == ()
        assert troubles(gateway, client) == ["role"]
        gateway.ingest(device.frame(some_rows(0, 1)))
        with pytest.raises(RevertedError):
            gateway.anchor_all()
        assert troubles(gateway, client) == ["anchoring", "role"]
        space.operator.participants.reinstate(account_of(ledger), "paid")
        (anchored,) = gateway.anchor_all()
        assert anchored.batch.size == 1
        assert troubles(gateway, client) == []


def test_no_frame_is_taken_before_the_chain_was_asked_once(space: Space, device: Device, tmp_path: Path) -> None:
    chain = _Unreachable(space.chain)
    own = space.gateway_ledger()
    ledger = Ledger.connect(chain, own.pin.directory, own.account)  # type: ignore[arg-type]
    first, second = device.frames(2, rows=1)
    with space.open_gateway(tmp_path / "gateway", ledger) as gateway, client_of(gateway) as client:
        chain.off = True
        assert problem(post(client, first)) == (503, "unchecked")
        assert troubles(gateway, client) == ["chain", "unchecked"]
        assert gateway.status().frames == 0
        chain.off = False
        assert gateway.anchor_due() == ()
        assert troubles(gateway, client) == []
        assert post(client, first).status_code == 201
        chain.off = True
        assert post(client, second).status_code == 201  # it was checked, and the device is known


def test_an_old_store_takes_nothing_once_the_chain_is_back(space: Space, device: Device, tmp_path: Path) -> None:
    own = space.gateway_ledger()
    with space.open_gateway(tmp_path / "now", own) as gateway:
        gateway.ingest(device.frame(some_rows(0, 1)))
        gateway.anchor_all()
    with space.open_gateway(tmp_path / "empty", own) as gateway, client_of(gateway) as client:
        frame = device.frame(some_rows(1, 1))
        answer = post(client, frame)
        assert problem(answer) == (503, "unchecked")
        assert "another process anchors with this account" in answer.json()["detail"]
        with pytest.raises(AnchorConflictError):
            gateway.anchor_due()
        assert troubles(gateway, client) == ["unchecked"]
        assert gateway.status().frames == gateway.status().batches == 0
