"""Identifiers are parsed once and refuse everything else."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from capsule.errors import InputError
from capsule.ids import Address, AssetId, Bytes32, Digest, GrantId, Uscc


@given(st.binary(min_size=32, max_size=32))
def test_bytes32_survives_writing_and_parsing(value: bytes) -> None:
    identifier = AssetId(value)
    assert AssetId.parse(str(identifier)) == identifier
    assert type(AssetId.parse(str(identifier))) is AssetId
    assert str(identifier) == f"0x{value.hex()}" == f"{identifier}"
    assert repr(identifier) == f"AssetId({identifier})"


@pytest.mark.parametrize("value", [b"", bytes(31), bytes(33), "0" * 32, 32])
def test_bytes32_refuses_other_lengths_and_types(value: bytes) -> None:
    with pytest.raises(InputError):
        Bytes32(value)


@pytest.mark.parametrize(
    "text", ["", "0x", "0x" + "g" * 64, "0x" + "0" * 63, "0" * 64, "0X" + "0" * 64, "0x" + "0" * 64 + "\n"]
)
def test_bytes32_refuses_other_text(text: str) -> None:
    with pytest.raises(InputError):
        GrantId.parse(text)


@given(st.binary(min_size=20, max_size=20))
def test_address_is_written_as_in_eip55(value: bytes) -> None:
    address = Address(value)
    assert str(address) == to_checksum_address(value)
    assert Address.parse(str(address)) == Address.parse(str(address).lower()) == address


def test_address_refuses_a_wrong_checksum() -> None:
    good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert str(Address.parse(good)) == good
    with pytest.raises(InputError, match="checksum"):
        Address.parse(good.replace("aA", "Aa"))
    for bad in ("", good[:-1], good + "0", good[2:], "0x" + "g" * 40):
        with pytest.raises(InputError):
            Address.parse(bad)
    with pytest.raises(InputError):
        Address(bytes(19))


def test_zero_address_is_all_zero() -> None:
    assert bytes(Address.ZERO) == bytes(20)
    assert Digest(bytes(32)) != Digest(bytes(31) + b"\x01")


@pytest.mark.parametrize("code", ["91350100M000100Y43", "11320000MB151840XJ"])
def test_uscc_accepts_published_codes(code: str) -> None:
    assert Uscc.parse(code) == code
    assert Uscc.make(code[:17]) == code


@pytest.mark.parametrize(
    "code",
    ["91350100M000100Y4Z", "", "91350100M000100Y4", "91350100M000100Y433", "91350100I000100Y43", "91350100m000100y43"],
)
def test_uscc_refuses_wrong_codes(code: str) -> None:
    with pytest.raises(InputError):
        Uscc.parse(code)
    with pytest.raises(InputError):
        Uscc.make(code[:16])


@given(st.text("0123456789ABCDEFGHJKLMNPQRTUWXY", min_size=17, max_size=17), st.integers(0, 16), st.data())
def test_uscc_notices_every_single_wrong_character(body: str, place: int, data: st.DataObject) -> None:
    code = Uscc.make(body)
    other = data.draw(st.sampled_from(sorted(set("0123456789ABCDEFGHJKLMNPQRTUWXY") - {code[place]})))
    with pytest.raises(InputError):
        Uscc.parse(code[:place] + other + code[place + 1 :])
