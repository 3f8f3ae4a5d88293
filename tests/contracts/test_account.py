"""Accounts and roles."""

from __future__ import annotations

import pickle
import secrets

import pytest

from capsule.errors import InputError
from capsule.ids import Address, Digest, GrantId
from capsule.order import Order, recover
from contracts.account import Account
from contracts.roles import Role, role_names, roles_from_names


def test_an_order_signature_names_its_signer() -> None:
    account = Account.generate(secrets.token_bytes)
    order = Order(
        grants=(GrantId(b"\x01" * 32),),
        number=2**255,
        algorithm=Digest(b"\x02" * 32),
        parameters=Digest(b"\x03" * 32),
        compute_node=Address(b"\x04" * 20),
        result_key=Digest(b"\x05" * 32),
        deadline=2**64 - 1,
    )
    access = Address(b"\x06" * 20)
    assert recover(order, account.sign_order(order, 5, access), 5, access) == account.address


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31, b"\x01" * 33])
def test_what_is_no_key(key: bytes) -> None:
    with pytest.raises(InputError):
        Account(key)


def test_generating_passes_over_what_is_no_key() -> None:
    draws = iter([bytes(32), b"\xff" * 32, b"\x09" * 32])
    assert Account.generate(lambda count: next(draws)).private_key == b"\x09" * 32


def test_an_account_shows_nothing_of_its_key() -> None:
    account = Account(b"\x09" * 32)
    assert (b"\x09" * 32).hex() not in repr(account) + str(account)
    with pytest.raises(TypeError):
        pickle.dumps(account)


def test_role_names() -> None:
    assert role_names(Role.BUYER | Role.REGULATOR) == ("buyer", "regulator")
    assert role_names(65) == ("provider", "0x40")
    assert role_names(0) == ()
    assert roles_from_names(["Provider", " compute "]) == Role.PROVIDER | Role.COMPUTE
    assert roles_from_names([]) == Role(0)
    with pytest.raises(InputError, match="roles are provider, buyer"):
        roles_from_names(["owner"])
