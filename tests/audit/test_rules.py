"""Every rule finds its own planted violation, and nothing else does."""

import pytest

from audit.findings import RULES
from audit.rulebook import CHECKS
from tests.audit.plants import PLANTS
from tests.sim.dataspace import DataSpace
from tests.sim.histories import History

# Their violations are not edits but quarrels that happened on the chain.
ACTED_OUT = {"share-wrong", "false-accusation"}


def test_every_rule_has_a_check_and_a_plant() -> None:
    assert set(CHECKS) == set(RULES)
    assert set(PLANTS) | ACTED_OUT == set(RULES)


@pytest.mark.parametrize("rule", PLANTS)
def test_planted_violation_is_exactly_what_is_found(rule: str, honest: History, space: DataSpace) -> None:
    planted = PLANTS[rule](honest, space)

    findings = planted.history.findings(*planted.claims, patience=planted.patience)

    assert {finding.rule for finding in findings} == {rule}
    for finding in findings:
        assert finding.severity == RULES[rule].severity
        assert finding.evidence
        assert "{" not in finding.message_en + finding.message_zh


def test_wrong_share_accuses_its_holder(true_accusation: History, quarrels: DataSpace) -> None:
    (finding,) = true_accusation.findings()

    assert (finding.rule, finding.accused) == ("share-wrong", quarrels.custodians[0].account)


def test_false_accusation_falls_back_on_the_compute_node(false_accusation: History, quarrels: DataSpace) -> None:
    findings = {finding.rule: finding for finding in false_accusation.findings()}

    assert set(findings) == {"share-wrong", "false-accusation"}
    assert findings["false-accusation"].accused == quarrels.compute.account
