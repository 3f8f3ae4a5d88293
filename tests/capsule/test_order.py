"""EIP-712 orders against an encoding computed by hand, and signatures as the contract takes them."""

from dataclasses import replace

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from capsule.errors import FormatError, InputError, VerificationError
from capsule.ids import Address, Bytes32, GrantId
from capsule.order import Order, order_hash, order_typed_data, recover
from tests.capsule.samples import account, digest

ACCESS = account(0xAC)
CHAIN = 1337
ORDER = Order(
    grants=(GrantId(digest(1)), GrantId(digest(2))),
    number=2**255 + 7,
    algorithm=digest(3),
    parameters=digest(4),
    compute_node=account(5),
    result_key=Bytes32(digest(6)),
    deadline=1_800_000_000,
)
BUYER = Account.from_key(b"\x07" * 32)
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def signed(order: Order = ORDER) -> bytes:
    return bytes(BUYER.sign_typed_data(full_message=order_typed_data(order, CHAIN, ACCESS).to_wallet()).signature)


def word(value: int | bytes) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\x00")


def test_hash_is_what_eip712_says() -> None:
    domain_type = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    order_type = (
        b"Order(bytes32[] grants,uint256 number,bytes32 algorithm,bytes32 parameters,"
        b"address computeNode,bytes32 resultKey,uint64 deadline)"
    )
    separator = keccak(
        keccak(domain_type) + keccak(b"dataspace Access") + keccak(b"1") + word(CHAIN) + word(bytes(ACCESS))
    )
    struct = keccak(
        keccak(order_type)
        + keccak(b"".join(ORDER.grants))
        + word(ORDER.number)
        + ORDER.algorithm
        + ORDER.parameters
        + word(bytes(ORDER.compute_node))
        + ORDER.result_key
        + word(ORDER.deadline)
    )
    assert order_hash(ORDER, CHAIN, ACCESS) == keccak(b"\x19\x01" + separator + struct)


def test_signer_is_recovered() -> None:
    assert recover(ORDER, signed(), CHAIN, ACCESS) == Address.parse(BUYER.address)


@pytest.mark.parametrize(
    "changes",
    [
        {"grants": ORDER.grants[:1]},
        {"grants": ORDER.grants[::-1]},
        {"number": 1},
        {"algorithm": digest(9)},
        {"parameters": digest(9)},
        {"compute_node": account(9)},
        {"result_key": Bytes32(digest(9))},
        {"deadline": 1},
    ],
)
def test_changed_order_recovers_somebody_else(changes: dict[str, object]) -> None:
    changed = replace(ORDER, **changes)  # type: ignore[arg-type]
    assert order_hash(changed, CHAIN, ACCESS) != order_hash(ORDER, CHAIN, ACCESS)
    assert recover(changed, signed(), CHAIN, ACCESS) != Address.parse(BUYER.address)


def test_order_of_another_chain_or_contract_is_another_order() -> None:
    hashes = {order_hash(ORDER, CHAIN, ACCESS), order_hash(ORDER, 1, ACCESS), order_hash(ORDER, CHAIN, account(1))}
    assert len(hashes) == 3


def test_signatures_that_the_contract_refuses_are_refused() -> None:
    good = signed()
    flipped = (GROUP_ORDER - int.from_bytes(good[32:64], "big")).to_bytes(32, "big")
    other_v = bytes([27 + 28 - good[64]])
    for bad in (
        b"",
        good[:-1],
        good + b"\x00",
        good[:64] + b"\x00",
        good[:64] + b"\x01",
        good[:32] + flipped + other_v,
        bytes(64) + b"\x1b",
        b"\xff" * 32 + good[32:],
    ):
        with pytest.raises(VerificationError):
            recover(ORDER, bad, CHAIN, ACCESS)


def test_order_survives_json() -> None:
    assert Order.from_json(ORDER.to_json()) == ORDER
    with pytest.raises(FormatError):
        Order.from_json({**ORDER.to_json(), "grants": []})


@pytest.mark.parametrize("changes", [{"grants": ()}, {"number": 2**256}, {"number": -1}, {"deadline": 2**64}])
def test_order_refuses_what_the_struct_cannot_hold(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        replace(ORDER, **changes)  # type: ignore[arg-type]
