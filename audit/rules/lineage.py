"""The rule over derived data: it carries the meet of its parents' policies (DESIGN section 6).

A policy lies within the meet of others exactly when it lies within each of them, so each parent is held against it
alone: parents that have nothing in common leave nothing to permit. What can't be told is not accused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from audit.findings import Finding, Subject, found
from audit.papers import Papers, Policy
from audit.picture import State, Version
from capsule import canonical
from capsule.errors import CapsuleError
from capsule.header import Header
from capsule.ids import Digest
from capsule.policy.compare import Comparison, Relation, compare_scopes
from capsule.policy.rdf import Syntax
from capsule.policy.reading import read_policy
from capsule.policy.scope import Scope, scope_of

__all__ = ["derived_policy_wider"]

_WIDER: Final = frozenset({Relation.WIDER, Relation.OVERLAPPING, Relation.CONFLICT})


def derived_policy_wider(state: State, papers: Papers) -> Iterator[Finding]:
    """The policy of a capsule that names parents lets nothing through that the policy of one of them stops."""
    versions = [version for asset in state.assets.values() for version in asset.versions]
    published: dict[Digest, Version] = {}
    for version in sorted(versions, key=lambda version: version.place):
        published.setdefault(version.capsule_root, version)
    for version in versions:
        asset = state.assets[version.asset]
        header = papers.capsule(asset, version)
        if not isinstance(header, Header):
            continue
        for root in header.lineage:
            parent = published.get(root)
            wider = None if parent is None else _wider(papers, version, parent)
            if parent is not None and wider is not None:
                yield found(
                    "derived-policy-wider",
                    Subject("asset", str(version.asset)),
                    asset.provider,
                    version=version.number,
                    parent=parent.asset,
                    parent_version=parent.number,
                    terms=_terms(wider),
                    parent_root=root,
                )


def _wider(papers: Papers, version: Version, parent: Version) -> Comparison | None:
    """How a policy goes past its parent's, where it certainly does."""
    own, theirs = _scope(papers.policy(version)), _scope(papers.policy(parent))
    if own is None or theirs is None:
        return None
    compared = compare_scopes(own, theirs)
    return compared if compared.relation in _WIDER else None


def _scope(paper: object) -> Scope | None:
    if not isinstance(paper, Policy):
        return None
    try:
        return scope_of(read_policy(canonical.encode(paper.document), Syntax.JSON_LD))
    except CapsuleError:
        return None  # `policy-terms-mismatch` has it: what does not read does not compile


def _terms(compared: Comparison) -> str:
    """The terms on which it goes past; of policies with several permissions only that it does."""
    return ", ".join(one.term for one in compared.terms if one.relation in _WIDER) or str(compared.relation)
