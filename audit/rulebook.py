"""All rules in one table: each id of the catalogue with the function that looks for its breach.

Rules over the record come first. While events are missing or changed, whatever the other rules say may be a
consequence of that: such findings are kept apart as `tentative` and accuse nobody yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from audit.findings import RULES, Finding
from audit.papers import Papers
from audit.picture import State
from audit.rules import (
    accusations,
    custody,
    devices,
    lineage,
    logs,
    openings,
    participants,
    privacy,
    record,
    reexecutions,
    results,
    served,
    shreds,
    terms,
    uses,
)

__all__ = ["CHECKS", "RECORD_RULES", "Check", "apply"]

Check = Callable[[State, Papers], Iterator[Finding]]

RECORD_RULES: Final = ("seq-gap", "heads-mismatch", "checkpoint-behind", "checkpoint-mismatch")
# Findings of these mean that the events themselves are not all there, or not as emitted.
_BROKEN: Final = frozenset({"seq-gap", "heads-mismatch", "checkpoint-mismatch"})

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "seq-gap": record.seq_gap,
        "heads-mismatch": record.heads_mismatch,
        "checkpoint-behind": record.checkpoint_behind,
        "checkpoint-mismatch": record.checkpoint_mismatch,
        "event-unmatched": record.event_unmatched,
        "participant-inactive-acted": participants.participant_inactive_acted,
        "acted-while-paused": participants.acted_while_paused,
        "box-key-signature-invalid": participants.box_key_signature_invalid,
        "log-head-discontinuity": participants.log_head_discontinuity,
        "terms-hash-mismatch": terms.terms_hash_mismatch,
        "policy-terms-mismatch": terms.policy_terms_mismatch,
        "deal-outside-terms": terms.deal_outside_terms,
        "pin-mismatch": terms.pin_mismatch,
        "grant-without-request": terms.grant_without_request,
        "grant-while-live": uses.grant_while_live,
        "grant-wider": terms.grant_wider,
        "terms-violated": terms.terms_violated,
        "compute-node-involved": terms.compute_node_involved,
        "measurement-not-allowed": terms.measurement_not_allowed,
        "agreement-mismatch": terms.agreement_mismatch,
        "agreement-unsigned": terms.agreement_unsigned,
        "derived-policy-wider": lineage.derived_policy_wider,
        "use-without-grant": uses.use_without_grant,
        "use-before-start": uses.use_before_start,
        "use-after-expiry": uses.use_after_expiry,
        "use-after-revocation": uses.use_after_revocation,
        "use-of-replaced-deal": uses.use_of_replaced_deal,
        "uses-exceeded": uses.uses_exceeded,
        "rows-exceeded": uses.rows_exceeded,
        "deadline-wrong": uses.deadline_wrong,
        "give-back-wrong": uses.give_back_wrong,
        "order-signature-invalid": uses.order_signature_invalid,
        "order-mismatch": uses.order_mismatch,
        "order-reused": uses.order_reused,
        "release-by-non-holder": custody.release_by_non_holder,
        "decision-repeated": custody.decision_repeated,
        "release-out-of-time": custody.release_out_of_time,
        "release-after-revocation": custody.release_after_revocation,
        "completed-without-releases": custody.completed_without_releases,
        "silent-holder": custody.silent_holder,
        "use-unclosed": custody.use_unclosed,
        "deal-mismatch": custody.deal_mismatch,
        "deal-borrowed": custody.deal_borrowed,
        "capsule-borrowed": custody.capsule_borrowed,
        "opening-mismatch": openings.opening_mismatch,
        "deal-without-opening": openings.deal_without_opening,
        "rebind-without-opening": openings.rebind_without_opening,
        "released-after-shred": shreds.released_after_shred,
        "share-wrong": accusations.share_wrong,
        "false-accusation": accusations.false_accusation,
        "decision-mismatch": custody.decision_mismatch,
        "receipt-hash-mismatch": results.receipt_hash_mismatch,
        "receipt-signature-invalid": results.receipt_signature_invalid,
        "attestation-not-met": results.attestation_not_met,
        "epsilon-exceeded": privacy.epsilon_exceeded,
        "receipt-content-mismatch": results.receipt_content_mismatch,
        "result-not-reproduced": reexecutions.result_not_reproduced,
        "capsule-root-mismatch": results.capsule_root_mismatch,
        "anchor-discontinuity": devices.anchor_discontinuity,
        "batch-index-mismatch": devices.batch_index_mismatch,
        "device-unknown": devices.device_unknown,
        "device-gap": devices.device_gap,
        "device-fork": devices.device_fork,
        "device-replay": devices.device_replay,
        "device-tail-missing": devices.device_tail_missing,
        "document-not-served": served.document_not_served,
        "document-mismatch": served.document_mismatch,
        "log-not-served": logs.log_not_served,
        "log-inconsistent": logs.log_inconsistent,
        "log-entry-missing": logs.log_entry_missing,
        "log-anchored-late": logs.log_anchored_late,
        "log-event-missing": logs.log_event_missing,
    }
)


def apply(state: State, papers: Papers) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """All findings: the firm ones, and the tentative ones that a broken record may have caused."""
    record_findings = tuple(finding for rule in RECORD_RULES for finding in CHECKS[rule](state, papers))
    others = tuple(finding for rule in RULES if rule not in RECORD_RULES for finding in CHECKS[rule](state, papers))
    if any(finding.rule in _BROKEN for finding in record_findings):
        return record_findings, others
    return (*record_findings, *others), ()
