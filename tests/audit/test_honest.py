"""Honest participants are accused of nothing."""

from audit.papers import Patience
from tests.sim.histories import History, encode


def test_honest_history_has_no_findings(honest: History) -> None:
    assert honest.findings() == ()


def test_honest_logs_hold_when_every_interval_is_over(honest: History) -> None:
    assert honest.findings(patience=Patience(anchor=0, log=0)) == ()


def test_encoder_writes_the_bytes_that_the_contracts_emit(honest: History) -> None:
    for entry in honest.entries:
        assert encode(entry.contract, entry.event) == entry.event.log


def test_honest_history_has_every_kind_of_event(honest: History) -> None:
    kinds = {type(entry.event).__name__ for entry in honest.entries}
    assert len(kinds) == 30, sorted(kinds)
