"""Passwords as marks: the right one passes, all others don't, and what is stored is read strictly."""

from __future__ import annotations

import pytest
from nacl.pwhash import argon2id

from capsule.canonical import Json
from capsule.errors import FormatError, InputError, OpenError
from capsule.password import SALT_SIZE, PasswordMark

SALT = bytes(range(SALT_SIZE))
MARK = PasswordMark.make("正确的 horse battery", SALT)


def test_only_the_password_itself_passes() -> None:
    assert MARK.verify("正确的 horse battery") is MARK
    for wrong in ("", "正确的 horse batterz", "正确的 horse battery ", "x" * 10_000, "\ud800"):
        with pytest.raises(OpenError):
            MARK.verify(wrong)


def test_a_longer_password_with_the_same_beginning_does_not_pass() -> None:
    mark = PasswordMark.make("x" * 256, SALT)

    with pytest.raises(OpenError):
        mark.verify("x" * 257)


def test_mark_is_argon2id() -> None:
    known = argon2id.kdf(32, "正确的 horse battery".encode(), SALT, opslimit=3, memlimit=64 * 1024 * 1024)

    assert MARK.mark == known
    assert MARK.mark.hex() not in repr(MARK)


@pytest.mark.parametrize("password", ["", "eleven char", "x" * 257])
def test_short_and_endless_passwords_are_refused(password: str) -> None:
    with pytest.raises(InputError):
        PasswordMark.make(password, SALT)


def test_written_form_reads_back() -> None:
    assert PasswordMark.from_json(MARK.to_json()) == MARK


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "md5"},
        {"salt": "00"},
        {"salt": "zz" * SALT_SIZE},
        {"mark": ""},
        {"passes": 0},
        {"passes": 11},
        {"memory_bytes": 2**40},
        {"passes": "3"},
    ],
)
def test_written_form_is_read_strictly(changed: dict[str, Json]) -> None:
    with pytest.raises(FormatError):
        PasswordMark.from_json({**MARK.to_json(), **changed})
