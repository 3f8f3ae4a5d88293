"""The report: what was checked, what it rests on, and what a broken record does to the rest."""

from __future__ import annotations

import pytest

from audit.checkpoints import build_checkpoint, read_checkpoint
from audit.documents import MemoryDocuments
from audit.errors import BundleError, RequestError
from audit.findings import RULES
from audit.papers import Patience
from audit.trust import Trust, trust_from_ledger
from audit.verify import verify
from capsule import canonical
from capsule.checkpoint import SignedCheckpoint, sign_checkpoint
from capsule.errors import VerificationError
from scripts.demo.lying_chain import Lies
from tests.audit.auditing import caught_up
from tests.audit.signing import sign, trust_of
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


def test_honest_ledger_has_a_clean_report_and_is_complete_to_the_checkpoint(
    space: DataSpace, honest: History, honest_documents: MemoryDocuments
) -> None:
    index = caught_up(space)
    signed = sign(space, build_checkpoint(index))

    report = verify(index, honest_documents, checkpoint=signed, trust=trust_of(space))

    assert report.findings == report.tentative == ()
    assert (report.completeness, report.complete_to) == ("checkpoint", report.summary.tip.number)
    assert set(report.rules) == set(RULES)
    assert report.documents > 30
    assert canonical.decode(canonical.encode(report.to_json()))


def test_without_checkpoint_or_trust_the_report_says_unproven(
    space: DataSpace, honest_documents: MemoryDocuments
) -> None:
    index = caught_up(space)
    signed = sign(space, build_checkpoint(index))

    for arguments in ({}, {"checkpoint": signed}, {"trust": trust_of(space)}):
        report = verify(index, honest_documents, **arguments)  # type: ignore[arg-type]
        assert (report.completeness, report.complete_to) == ("unproven", None)
        assert report.findings == ()


def test_older_checkpoint_covers_its_block_and_the_report_says_so(
    space: DataSpace, honest_documents: MemoryDocuments
) -> None:
    early = caught_up(space, Lies(hidden=10))
    signed = sign(space, build_checkpoint(early))

    report = verify(caught_up(space), honest_documents, checkpoint=signed, trust=trust_of(space))

    assert report.complete_to == report.summary.tip.number - 10
    assert "10 blocks after it" in report.reason
    assert report.findings == ()


def test_endpoint_that_hides_the_newest_blocks_is_found_by_the_checkpoint(
    space: DataSpace, honest_documents: MemoryDocuments
) -> None:
    signed = sign(space, build_checkpoint(caught_up(space)))
    index = caught_up(space, Lies(hidden=3))

    report = verify(index, honest_documents, checkpoint=signed, trust=trust_of(space))

    assert {finding.rule for finding in report.findings} == {"checkpoint-behind"}
    assert report.completeness == "unproven"


def test_broken_record_makes_other_findings_tentative(space: DataSpace, honest: History) -> None:
    granted = next(entry.event.log for entry in honest.entries if type(entry.event).__name__ == "AccessGranted")
    index = caught_up(space, Lies(omit=lambda log: log == granted))

    report = verify(index, MemoryDocuments(honest.documents), patience=Patience(anchor=0))

    assert {finding.rule for finding in report.findings} == {"seq-gap"}
    assert "use-without-grant" in {finding.rule for finding in report.tentative}


def test_checkpoint_of_strangers_is_refused(space: DataSpace, honest_documents: MemoryDocuments) -> None:
    index = caught_up(space)
    checkpoint = build_checkpoint(index)
    strangers = SignedCheckpoint(
        checkpoint,
        tuple(sign_checkpoint(checkpoint, one.account, space.buyer.signer) for one in (space.regulator, space.buyer)),
    )

    with pytest.raises(VerificationError):
        verify(index, honest_documents, checkpoint=strangers, trust=trust_of(space))


def test_nobody_is_asked_to_sign_a_record_with_holes(space: DataSpace, honest: History) -> None:
    hidden = honest.entries[40].event.log

    with pytest.raises(RequestError, match="can't be signed"):
        build_checkpoint(caught_up(space, Lies(omit=lambda log: log == hidden)))


def test_two_auditors_build_the_same_checkpoint(space: DataSpace, honest: History) -> None:
    one, other = build_checkpoint(caught_up(space)), build_checkpoint(caught_up(space))

    assert one == other
    assert one.hash == other.hash


def test_checkpoint_file_round_trip_and_damage(space: DataSpace, honest: History) -> None:
    signed = sign(space, build_checkpoint(caught_up(space)))

    assert read_checkpoint(canonical.encode(signed.to_json())) == signed
    with pytest.raises(BundleError):
        read_checkpoint(b"{}")


def test_trust_file_round_trip_and_damage(space: DataSpace) -> None:
    trust = trust_of(space)

    assert Trust.from_bytes(trust.to_bytes()) == trust
    for damaged in (b"", b"{}", trust.to_bytes().replace(b'"suite":1', b'"suite":9', 1)):
        with pytest.raises(BundleError):
            Trust.from_bytes(damaged)


def test_trust_file_that_names_an_account_twice_is_refused(space: DataSpace) -> None:
    document = canonical.decode(trust_of(space).to_bytes())
    assert isinstance(document, dict)
    keys = document["keys"]
    assert isinstance(keys, list)

    with pytest.raises(BundleError, match="twice"):
        Trust.from_bytes(canonical.encode({**document, "keys": [*keys, keys[0]]}))


def test_drafted_trust_has_the_keys_and_regulators_on_chain(space: DataSpace, honest: History) -> None:
    drafted = trust_from_ledger(honest.state())

    assert drafted.regulators == {space.regulator.account}
    assert drafted.keys[space.compute.account].key == space.compute.signer.public_key
    assert drafted.domain == space.operator.domain
