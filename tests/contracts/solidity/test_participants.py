"""Admission, roles, status, endpoint, keys, and the two-step admin."""

import pytest

from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.evm import RevertedError
from tests.contracts.solidity.space import (
    BUYER,
    COMPUTE,
    CUSTODIAN,
    DAY,
    NOBODY,
    PROVIDER,
    ZERO,
    Space,
    account,
    h,
)

ED25519 = (1, h("signing key"))
SM2 = (2, b"\x04" + h("x") + h("y") + bytes(64))  # with the longest user id


def set_keys(space: Space, who: str, suite: int = 1, key: bytes = ED25519[1], box: bytes = h("box")) -> None:
    space.participants.send(who, "setKeys", suite, key, box, b"signature")


def rotate(space: Space, who: str, distrusted_from: int = 0, suite: int = 2, key: bytes = SM2[1]) -> None:
    space.participants.send(who, "rotateKeys", suite, key, h("next box"), b"signature", distrusted_from)


def test_admission_binds_code_and_account_and_funds_the_account(space: Space) -> None:
    space.chain.fund(space.operator.address, 10**18)
    code, who = space.code(), space.stranger.address
    outcome = space.participants.send(
        space.operator.address, "admit", who, code, h("identity"), BUYER | COMPUTE, value=10**15
    )
    assert outcome.event("ParticipantAdmitted")["funded"] == 10**15 == space.chain.balance(who)
    assert space.participants.call("accountOf", code) == who
    organisation = space.participants.call("organisation", who)
    assert organisation == (code, 1, BUYER | COMPUTE, h("identity"), "")
    assert space.participants.call("isActive", who, BUYER | COMPUTE)
    assert not space.participants.call("isActive", who, BUYER | PROVIDER)


@exercises(
    "ParticipantsAccountZero",
    "ParticipantsCodeInvalid",
    "ParticipantsCodeTaken",
    "ParticipantsAccountTaken",
    "ParticipantsRolesInvalid",
    "ParticipantsFundingFailed",
)
def test_admission_refuses(space: Space) -> None:
    def admit(who: str, code: bytes, roles: int = BUYER, value: int = 0) -> None:
        space.participants.send(space.operator.address, "admit", who, code, h("identity"), roles, value=value)

    with space.refused("ParticipantsAccountZero"):
        admit(NOBODY, space.code())
    for bad in (b"91350100M000100Y4Z", b"91350100M000100Y42", b"91350100I000100Y43", b"9135\x00100M000100Y43"):
        with space.refused("ParticipantsCodeInvalid", bad):
            admit(space.stranger.address, bad)
    taken = space.participants.call("organisation", space.buyer.address).uscc
    with space.refused("ParticipantsCodeTaken", taken, space.buyer.address):
        admit(space.stranger.address, taken)
    with space.refused("ParticipantsAccountTaken", space.buyer.address):
        admit(space.buyer.address, space.code())
    with space.refused("ParticipantsRolesInvalid", 64):
        admit(space.stranger.address, space.code(), 64)
    space.chain.fund(space.operator.address, 10**18)
    with space.refused("ParticipantsFundingFailed", space.directory.address, 5):
        admit(space.directory.address, space.code(), value=5)


@exercises("ParticipantsUnknown", "ParticipantsNotActive", "ParticipantsNotSuspended", "ParticipantsTextTooLong")
def test_status_and_roles(space: Space) -> None:
    operator, who = space.operator.address, space.buyer.address
    contract = space.participants
    for call in (("setRoles", BUYER), ("suspend", "why"), ("reinstate", "why")):
        with space.refused("ParticipantsUnknown", space.stranger.address):
            contract.send(operator, call[0], space.stranger.address, call[1])
    with space.refused("ParticipantsNotSuspended", who):
        contract.send(operator, "reinstate", who, "why")
    with space.refused("ParticipantsTextTooLong", 257, 256):
        contract.send(operator, "suspend", who, "x" * 257)
    contract.send(operator, "suspend", who, "x" * 256)
    assert not contract.call("isActive", who, 0)
    with space.refused("ParticipantsNotActive", who):
        contract.send(operator, "suspend", who, "why")
    with space.refused("ParticipantsTextTooLong", 257, 256):
        contract.send(operator, "reinstate", who, "x" * 257)
    contract.send(operator, "reinstate", who, "paid")
    assert contract.call("isActive", who, BUYER)
    assert contract.send(operator, "setRoles", who, CUSTODIAN).events[0]["roles"] == CUSTODIAN
    assert not contract.send(operator, "setRoles", who, CUSTODIAN).events
    with space.refused("ParticipantsRolesInvalid"):
        contract.send(operator, "setRoles", who, 1 << 31)


def test_endpoint(space: Space) -> None:
    contract, who = space.participants, space.buyer.address
    assert contract.send(who, "setEndpoint", "https://buyer.example").events[0]["endpoint"] == "https://buyer.example"
    assert not contract.send(who, "setEndpoint", "https://buyer.example").events
    assert contract.call("organisation", who).endpoint == "https://buyer.example"
    with space.refused("ParticipantsTextTooLong", 257, 256):
        contract.send(who, "setEndpoint", "x" * 257)


@exercises("ParticipantsKeysExist", "ParticipantsKeysMissing", "ParticipantsKeyInvalid", "ParticipantsTooManyKeys")
def test_keys_over_time(space: Space) -> None:
    contract, who = space.participants, space.buyer.address
    with space.refused("ParticipantsKeysMissing", who):
        rotate(space, who)
    with space.refused("ParticipantsKeysMissing", who):
        contract.call("keysAt", who, 10**9)
    space.chain.advance()
    first = space.chain.block
    set_keys(space, who)
    with space.refused("ParticipantsKeysExist", who):
        set_keys(space, who)
    with space.refused("ParticipantsKeysMissing", who):
        contract.call("keysAt", who, first - 1)
    space.chain.advance()
    space.chain.advance()
    rotate(space, who, distrusted_from=77)
    last = contract.call("keysAt", who, first + 2)
    assert (last.suite, last.signingKey, last.since, last.distrustedFrom) == (*SM2, first + 2, 0)
    for block in (first, first + 1):
        old = contract.call("keysAt", who, block)
        assert (old.suite, old.signingKey, old.since, old.distrustedFrom) == (*ED25519, first, 77)
    assert [event["distrustedFrom"] for event in space.logs("KeysSet")] == [0, 77]
    for _ in range(63):
        rotate(space, who)
    with space.refused("ParticipantsTooManyKeys", who, 64):
        rotate(space, who)
    with space.refused("ParticipantsKeyInvalid", 1, 31):
        set_keys(space, space.provider.address, 1, bytes(31))
    with space.refused("ParticipantsKeyInvalid", 2, 64):
        set_keys(space, space.provider.address, 2, bytes(64))
    for head, size in ((4, 65), (3, 81), (4, 130)):  # no user id, no uncompressed point, a user id of 65 bytes
        with space.refused("ParticipantsKeyInvalid", 2, size):
            set_keys(space, space.provider.address, 2, bytes([head]) + bytes(size - 1))
    with space.refused("ParticipantsKeyInvalid", 3, 32):
        set_keys(space, space.provider.address, 3, bytes(32))
    with space.refused("ParticipantsKeyInvalid", 0, 32):
        set_keys(space, space.provider.address, box=ZERO)
    with space.refused("ParticipantsTextTooLong", 129, 128):
        contract.send(space.provider.address, "setKeys", *ED25519, h("box"), bytes(129))


@exercises("ParticipantsUnknown", "ParticipantsNotActive")
def test_only_the_active_set_their_own(space: Space) -> None:
    space.suspend(space.buyer)
    for who, error in ((space.stranger.address, "ParticipantsUnknown"), (space.buyer.address, "ParticipantsNotActive")):
        with space.refused(error, who):
            set_keys(space, who)
        with space.refused(error, who):
            rotate(space, who)
        with space.refused(error, who):
            space.participants.send(who, "setEndpoint", "https://x.example")


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("admit", (account("a").address, b"91350100M000100Y43", ZERO, BUYER)),
        ("setRoles", (account("buyer").address, 0)),
        ("suspend", (account("buyer").address, "why")),
        ("reinstate", (account("buyer").address, "why")),
    ],
)
def test_only_operators_admit_and_suspend(space: Space, function: str, arguments: tuple[object, ...]) -> None:
    with space.refused("AccessControlUnauthorizedAccount"):
        space.participants.send(space.buyer.address, function, *arguments)


def test_admin_is_replaced_in_two_steps_after_the_delay(space: Space) -> None:
    contract, operator, heir = space.participants, space.operator.address, space.stranger.address
    role = contract.call("OPERATOR_ROLE")
    assert contract.call("isOperator", operator)
    assert not contract.call("isOperator", heir)
    with space.refused("AccessControlUnauthorizedAccount"):
        contract.send(heir, "grantRole", role, heir)
    contract.send(operator, "beginDefaultAdminTransfer", heir)
    with space.refused("AccessControlEnforcedDefaultAdminDelay"):
        contract.send(heir, "acceptDefaultAdminTransfer")
    space.chain.advance(DAY + 1)
    with space.refused("AccessControlInvalidDefaultAdmin"):
        contract.send(operator, "acceptDefaultAdminTransfer")
    contract.send(heir, "acceptDefaultAdminTransfer")
    contract.send(heir, "grantRole", role, heir)
    contract.send(heir, "revokeRole", role, operator)
    assert contract.call("isOperator", heir)
    assert not contract.call("isOperator", operator)
    with pytest.raises(RevertedError, match="AccessControlUnauthorizedAccount"):
        space.admit(account("late"), BUYER)
