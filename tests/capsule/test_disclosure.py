"""A disclosure holds by the hashes on chain alone."""

from dataclasses import replace

import pytest

from capsule.algorithm import Parameters
from capsule.canonical import decode, encode
from capsule.disclosure import Disclosure, result_salt, verify_disclosure
from capsule.errors import FormatError, VerificationError
from capsule.ids import Bytes32, GrantId
from capsule.order import Order
from capsule.receipt import output_digest
from tests.capsule.samples import account, digest
from tests.capsule.test_receipt import RECEIPT as SAMPLE

SALT = b"s" * 32
RESULT = encode(
    {"kind": "dataspace/result", "version": 1, "columns": [], "rows": [[1.5, "电"]], "salt": "0x" + SALT.hex()}
)
PARAMETERS = Parameters({"factor": 0.5}, b"p" * 32)
ORDER = Order(
    grants=(GrantId(digest(3)),),
    number=7,
    algorithm=digest(5),
    parameters=PARAMETERS.hash,
    compute_node=account(2),
    result_key=Bytes32(bytes(32)),
    deadline=1,
)
RECEIPT = replace(SAMPLE, parameters=PARAMETERS.hash, output=output_digest(RESULT, SALT))
DISCLOSURE = Disclosure(RECEIPT.order_hash, PARAMETERS, RESULT)


def test_disclosure_survives_its_bytes_and_gives_the_salt() -> None:
    again = Disclosure.from_bytes(DISCLOSURE.to_bytes())
    assert again == DISCLOSURE
    assert verify_disclosure(again, ORDER, RECEIPT) == SALT == result_salt(RESULT)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(DISCLOSURE, order_hash=digest(9)), "another order"),
        (replace(DISCLOSURE, parameters=Parameters({"factor": 0.5}, bytes(32))), "not those of the order"),
        (replace(DISCLOSURE, parameters=Parameters({"factor": 1}, b"p" * 32)), "not those of the order"),
        (replace(DISCLOSURE, result=RESULT.replace(b"1.5", b"2.5")), "not the one of the receipt"),
        (replace(DISCLOSURE, result=RESULT.replace(b"73" * 32, b"74" * 32)), "not the one of the receipt"),
        (replace(DISCLOSURE, result=b" " + RESULT), "not the one of the receipt"),
        (replace(DISCLOSURE, result=b"[]"), "is none"),
    ],
)
def test_anything_else_than_what_was_hashed_is_refused(changed: Disclosure, reason: str) -> None:
    with pytest.raises(VerificationError, match=reason) as refused:
        verify_disclosure(changed, ORDER, RECEIPT)
    assert refused.value.evidence


@pytest.mark.parametrize("name", ["order_hash", "parameters", "result", "kind", "version"])
def test_disclosure_without_a_member_is_no_disclosure(name: str) -> None:
    document = decode(DISCLOSURE.to_bytes())
    assert isinstance(document, dict)
    with pytest.raises(FormatError):
        Disclosure.from_bytes(encode({key: value for key, value in document.items() if key != name}))
