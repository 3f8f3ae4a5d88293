"""Messages between a compute node and its runtime."""

from __future__ import annotations

from io import BytesIO

import pytest

from capsule.algorithm import Column, ColumnType
from capsule.errors import FormatError, InputError
from capsule.ids import Address, DeviceId, Digest
from capsule.privacy import Epsilon
from capsule.receipt import SourceVerdict
from capsule.signature import Ed25519Signer, PublicKey
from capsule.source import Anchor, DeviceKey
from node.runtime.protocol import (
    MAX_MEMBER_BYTES,
    REASONS,
    Answered,
    Broken,
    Completed,
    Job,
    Limits,
    Message,
    Ready,
    Refused,
)
from node.runtime.wire import MAX_JOB_BYTES, read_job, read_message, write_job, write_message
from tests.node.runtime.world import Buyer, SealedFile, entropy, job

D = Digest(b"\x05" * 32)


@pytest.fixture
def work(buyer: Buyer, small: SealedFile) -> Job:
    signer = Ed25519Signer.generate(entropy)
    key = PublicKey(signer.suite, signer.public_key)
    return job(
        buyer,
        [
            small.input(min_group=5, rows_left=7, suppress_groups=True, groups_left=9, earlier=(b"one", b"", b"two")),
            small.input(max_rows=None, max_bytes=99, earlier=(b"three",)),
        ],
        "SELECT $a AS n",
        [Column("n", ColumnType.INTEGER)],
        parameters=[Column("a", ColumnType.NUMBER)],
        values={"a": 0.1},
        device_keys={DeviceId(entropy(32)): (DeviceKey(key, 5), DeviceKey(key))},
        anchors=[Anchor(Address(b"\x09" * 20), 3, D, 60, 1_700_000_000)],
    )


class TestJob:
    def test_comes_back(self, work: Job) -> None:
        limits = Limits(cpu_seconds=7, memory_bytes=9, output_bytes=11, threads=3)
        read, bounds, allowed = read_job(BytesIO(write_job(work, limits, allow_unprotected=True)))
        assert read == work
        assert (bounds, allowed) == (limits, True)

    def test_a_bound_past_what_can_be_counted_is_no_bound(self, buyer: Buyer, small: SealedFile) -> None:
        endless = job(buyer, [small.input(rows_left=2**64 - 1)], "SELECT 1 AS n", [Column("n", ColumnType.INTEGER)])
        read, _, _ = read_job(BytesIO(write_job(endless, Limits(), allow_unprotected=False)))
        assert read.capsules[0].rows_left == 2**53 - 1

    def test_hides_its_secrets(self, work: Job) -> None:
        shown = repr(work)
        for capsule in work.capsules:
            assert capsule.one_time_keys[0].secret.hex() not in shown
            assert repr(capsule.one_time_keys[0].secret)[2:-1] not in shown
        assert repr(work.result_salt)[2:-1] not in shown

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x00" * 7,
            (MAX_JOB_BYTES + 1).to_bytes(4, "big") + bytes(4),
            b"\x00\x00\x00\x02\x00\x00\x00\x00{",
            b"\x00\x00\x00\x02\x00\x00\x00\x00{}",
            write_message(Ready(D, ())),
        ],
    )
    def test_other_bytes_are_refused(self, data: bytes) -> None:
        with pytest.raises(FormatError):
            read_job(BytesIO(data))

    def test_limits_are_above_zero(self) -> None:
        with pytest.raises(InputError):
            Limits(memory_bytes=0)

    def test_a_job_has_a_capsule(self, buyer: Buyer) -> None:
        with pytest.raises(InputError):
            job(buyer, [], "SELECT 1 AS n", [Column("n", ColumnType.INTEGER)])


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            Ready(D, ()),
            Ready(D, ("landlock",)),
            Broken(missing=("pyseccomp",)),
            Broken(where="node/runtime/engine.py:5 KeyError"),
            Refused(kind="guard", reason="rows", measurement=D, protected=True),
            Refused(
                kind="share",
                reason="wrong",
                holder=Address(b"\x02" * 20),
                index=2,
                capsule=0,
                measurement=D,
                protected=False,
            ),
            Completed(
                sealed_result=b"sealed",
                sealed_result_hash=D,
                output_hash=D,
                rows_in=3,
                rows_out=2,
                answered=(Answered(groups=2, epsilon=Epsilon.parse("0.5"), members=b"rows"), Answered(groups=0)),
                source=SourceVerdict("verified", 3, 3),
                measurement=D,
                protected=True,
            ),
        ],
    )
    def test_come_back(self, message: Message) -> None:
        assert read_message(BytesIO(write_message(message)), 10_000) == message

    def test_are_bounded(self) -> None:
        data = write_message(Broken(where="capsule/key.py:1 KeyError"))
        with pytest.raises(FormatError):
            read_message(BytesIO(data), len(data) - 9)

    @pytest.mark.parametrize(
        "message",
        [Broken(where="the data is 17"), Broken(missing=("17",)), Ready(D, ("17",)), Ready(D, ("open",) * 20)],
    )
    def test_carry_no_free_text(self, message: Message) -> None:
        with pytest.raises(FormatError):
            read_message(BytesIO(write_message(message)), 10_000)

    def test_are_of_the_lengths_that_they_tell_of(self) -> None:
        completed = Completed(
            sealed_result=b"sealed",
            sealed_result_hash=D,
            output_hash=D,
            rows_in=3,
            rows_out=2,
            answered=(Answered(groups=2, members=b"rows"),),
            source=SourceVerdict("declared"),
            measurement=D,
            protected=True,
        )
        data = write_message(completed)
        for size in (b"3", b"5"):
            with pytest.raises(FormatError):
                read_message(BytesIO(data.replace(b'"member_bytes":4', b'"member_bytes":' + size)), 10_000)

    def test_an_answer_stands_for_no_negative_numbers(self) -> None:
        with pytest.raises(InputError):
            Answered(groups=-1)
        with pytest.raises(InputError):
            Answered(groups=1, members=bytes(MAX_MEMBER_BYTES + 1))

    def test_a_reason_is_one_of_the_list(self) -> None:
        for kind, reasons in REASONS.items():
            for reason in reasons:
                assert Refused(kind=kind, reason=reason, measurement=D, protected=True).sentence
        with pytest.raises(InputError):
            Refused(kind="guard", reason="row 5 says 17", measurement=D, protected=True)
        data = write_message(Refused(kind="guard", reason="rows", measurement=D, protected=True))
        with pytest.raises(FormatError):
            read_message(BytesIO(data.replace(b'"rows"', b'"r017"')), 10_000)
