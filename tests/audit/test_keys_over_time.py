"""Keys are looked up by block: what a replaced key signed before counts, what it signs after does not."""

from audit.findings import Finding
from contracts import events as ev
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History


def rotation(history: History, space: DataSpace) -> ev.KeysSet:
    """The compute node's second keys."""
    return history.all(ev.KeysSet, lambda event: event.account == space.compute.account)[1]


def closings(history: History, space: DataSpace, *, before: bool) -> list[ev.UseClosed]:
    rotated = rotation(history, space).log.block_number
    return [one for one in history.all(ev.UseClosed) if one.completed and (one.log.block_number < rotated) is before]


def found(history: History, rule: str) -> list[Finding]:
    return [finding for finding in history.findings() if finding.rule == rule]


def test_receipts_from_before_and_after_a_rotation_both_hold(honest: History, space: DataSpace) -> None:
    assert closings(honest, space, before=True)
    assert closings(honest, space, before=False)
    assert honest.findings() == ()


def test_nothing_under_a_key_counts_from_the_time_that_it_is_distrusted(honest: History, space: DataSpace) -> None:
    early = {str(one.use) for one in closings(honest, space, before=True)}
    never = honest.change(rotation(honest, space), distrusted_from=2**40)
    assert never.findings() == ()
    always = honest.change(rotation(honest, space), distrusted_from=1)
    findings = found(always, "receipt-signature-invalid")
    assert {finding.subject.id for finding in findings} == early
    assert {finding.accused for finding in findings} == {space.compute.account}
    assert all("distrusted" in finding.message_en for finding in findings)


def test_a_replaced_key_signs_nothing_any_more(honest: History, space: DataSpace) -> None:
    """The same history, had not the compute node but a custodian replaced its keys."""
    custodian = space.custodians[0].account
    rotated = rotation(honest, space)
    history = honest.change(rotated, account=custodian)
    late = {str(one.use) for one in closings(honest, space, before=False)}
    assert {one.subject.id for one in found(history, "receipt-signature-invalid")} == late
    decided = [one for one in honest.all(ev.ShareReleased) if one.holder == custodian]
    after = {str(one.use) for one in decided if one.log.block_number > rotated.log.block_number}
    refused = {one.subject.id for one in found(history, "decision-mismatch") if one.accused == custodian}
    assert after
    assert after <= refused
    assert not refused & {str(one.use) for one in decided if one.log.block_number < rotated.log.block_number}
