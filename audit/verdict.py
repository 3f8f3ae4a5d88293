"""Checking an evidence bundle: numbered steps that a court expert can follow, and what each relied on.

Pure: the bundle's bytes and T in, a verdict out; no network, no database, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from audit.bundle import Contents, documents_of, read_bundle
from audit.entries import Claim, misnamed
from audit.errors import BundleError, RequestError
from audit.findings import Finding
from audit.ledger_state import fold
from audit.papers import Papers, Patience
from audit.picture import State
from audit.proof import ChainProof, heads_of, verify_events
from audit.rulebook import apply
from audit.seals import verify_header
from audit.steps import Anchor, Step, Verdict, Words
from audit.trail import Trail, trail_of
from audit.trust import Trust, claim_of, verify_signed
from capsule.errors import VerificationError
from capsule.ids import Address
from contracts.errors import ChainIntegrityError
from contracts.headers import Header, follow_seals

__all__ = ["check", "consistent"]


def check(data: bytes, trust: Trust | None = None, *, patience: Patience | None = None) -> Verdict:
    """Checks a bundle against T. Raises BundleError for bytes that are no whole bundle, or one whose
    parts don't fit each other.

    Without T, or where the bundle has neither a checkpoint nor proofs for it, the verdict is `unanchored`: it shows
    that the file agrees with itself, not that it is the ledger's.
    """
    with consistent():
        return _Checking(data, trust, patience).verdict()


@contextmanager
def consistent() -> Iterator[None]:
    """Turns errors that nobody foresaw, where the parts of a bundle don't fit each other, into BundleError.

    Who makes a bundle must not choose how a check of it ends.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as exc:
        raise BundleError(f"the bundle contradicts itself ({type(exc).__name__}: {exc})") from exc


class _Checking:
    """The steps of one check, in order; a step that fails does not stop the next."""

    def __init__(self, data: bytes, trust: Trust | None, patience: Patience | None) -> None:
        self._steps: list[Step] = []
        self._relied: list[Words] = []
        self._patience = patience
        self._pinned_at = 0
        # The file is whole and reads.
        self._contents: Contents = read_bundle(data)
        self._note(
            "the file",
            True,
            f"{len(data)} bytes, written canonically, with the digest that it states",
            f"共{len(data)}字节,规范编码,与文件所载摘要一致",
        )
        # The checkpoint is signed by keys of T.
        self._claim = self._anchored(trust)
        # The header is sealed by validators of T, and the contracts' heads stand under its state root.
        self._sets = self._followed(trust)
        self._proven: Claim | None = None
        self._sealed = False
        if self._contents.proof is not None:
            self._sealed = self._header(self._contents.proof)
            self._proven = self._heads(self._contents.proof)
        elif self._sets:
            en, zh = "none in the bundle: no seals to rely on", "证据包内没有区块头:没有可依据的封印"
            self._note("the header", True, en, zh, checked=False)
        claims = () if self._claim is None else (self._claim,)
        self._state: State = fold(self._contents.entries, self._contents.identity, self._contents.tip, claims)

    def verdict(self) -> Verdict:
        contents, state = self._contents, self._state
        anchor = self._anchor()
        if anchor == "unanchored":
            self._relied.append(
                Words(
                    "the maker of the bundle, for everything: no trusted signature stands behind it",
                    "证据包制作者(全部内容):没有任何受信任的签名为其背书",
                )
            )
        self._addresses()
        # Events have no gap and re-hash to the proven and the signed heads; they stand where the checkpoint says.
        self._events()
        self._places()
        # The rules, again, over events and documents; every document is one that the events name, and has its digest.
        papers = Papers(state, documents_of(contents), self._patience)
        findings, tentative = apply(state, papers)
        self._documents(papers)
        trail = self._trail(papers)
        # The subject's events stand in receipts of their blocks.
        self._rely_on_maker(contents.proof is not None and self._receipts(contents.proof, trail))
        about = tuple(finding for finding in (*findings, *tentative) if self._concerns(finding, trail))
        self._note(
            "the rules",
            True,
            f"applied again: {len(findings)} findings, {len(about)} of them about the subject",
            f"重新适用全部规则:发现{len(findings)}项,其中与本对象有关的{len(about)}项",
        )
        return Verdict(
            subject=contents.subject,
            anchor=anchor,
            holds=all(step.holds for step in self._steps),
            steps=tuple(self._steps),
            relied_on=tuple(self._relied),
            findings=about,
            trail=trail,
        )

    def _note(self, title: str, holds: bool, en: str, zh: str, *, checked: bool = True) -> None:
        self._steps.append(Step(len(self._steps) + 1, title, holds, Words(en, zh), checked))

    def _anchor(self) -> Anchor:
        if self._sealed and self._proven is not None:
            return "proven"
        return "unanchored" if self._claim is None else "checkpoint"

    # What T vouches for

    def _anchored(self, trust: Trust | None) -> Claim | None:
        signed = self._contents.checkpoint
        if trust is None or signed is None:
            en, zh = ("T was not given", "未提供T") if trust is None else ("the bundle has none", "证据包内没有")
            self._note("the anchor", True, f"no checkpoint to rely on: {en}", f"没有可依据的检查点:{zh}", checked=False)
            return None
        try:
            checkpoint = verify_signed(signed, trust)
        except VerificationError as exc:
            self._note("the anchor", False, str(exc), f"检查点签名不成立({exc})")
            return None
        signers = [one.account for one in signed.signatures if one.account in trust.keys]
        names = ", ".join(f"{account}{' (regulator)' if account in trust.regulators else ''}" for account in signers)
        named = "、".join(f"{account}{'(监管方)' if account in trust.regulators else ''}" for account in signers)
        self._note(
            "the anchor",
            (checkpoint.block_number, checkpoint.block_hash, checkpoint.domain)
            == (self._contents.tip.number, self._contents.tip.hash, self._contents.identity.domain),
            f"checkpoint {checkpoint.hash} of block {checkpoint.block_number}, signed by {names}",
            f"区块{checkpoint.block_number}的检查点{checkpoint.hash},签名者:{named}",
        )
        self._relied.append(
            Words(f"the signatures of {names} under the keys in T", f"{named}以T所列公钥可验证的签名"),
        )
        return claim_of(checkpoint)

    def _followed(self, trust: Trust | None) -> tuple[frozenset[Address], ...]:
        """The validator sets whose seals count: the pinned one, and those that the bundle's steps lead to."""
        if trust is None or trust.validators is None:
            return ()
        self._pinned_at = trust.validators.block
        proof = self._contents.proof
        try:
            if trust.domain != self._contents.identity.domain:
                raise ChainIntegrityError("T is of another ledger")
            return follow_seals(() if proof is None else proof.steps, trust.validators.accounts)
        except ChainIntegrityError as exc:
            self._note("the header", False, f"validators can't be followed: {exc}", f"验证者集合无法跟随({exc})")
            return ()

    def _header(self, proof: ChainProof) -> bool:
        """Whether trusted validators sealed the block's header."""
        header, tip = proof.heads.header, self._contents.tip
        if (header.number, header.hash, header.timestamp) != (tip.number, tip.hash, tip.time):
            self._note("the header", False, "the header is not the last block's", "区块头与证据包的末区块不符")
            return False
        if not self._sets:
            signed = self._claim is not None
            self._note(
                "the header",
                True,
                f"header of block {header.number} hashes to {header.hash}, "
                + ("which the checkpoint signs" if signed else "which nobody in T vouches for"),
                f"区块{header.number}的区块头哈希为{header.hash},"
                + ("检查点对其签名" if signed else "T中无人为其背书"),
                checked=signed,
            )
            return False
        try:
            sealed = verify_header(header, self._sets)
        except ChainIntegrityError as exc:
            self._note("the header", False, f"not sealed as T demands: {exc}", f"封印不满足T的要求({exc})")
            return False
        count, size = len(sealed.sealers), len(sealed.validators)
        self._note(
            "the header",
            True,
            f"header of block {header.number}, {header.hash}, sealed by {count} of {size} validators"
            + (f", followed over {len(proof.steps)} changes from those in T" if proof.steps else ""),
            f"区块{header.number}的区块头{header.hash}由{size}个验证者中的{count}个封印"
            + (f",验证者集合自T起经{len(proof.steps)}次变更跟随得出" if proof.steps else ""),
        )
        self._relied.append(
            Words(
                f"two thirds of the validators that T pins at block {self._pinned_at}: "
                "that they sealed one chain only, and that their keys were theirs",
                f"T在区块{self._pinned_at}所钉定的验证者的三分之二:只封印同一条链,且密钥由本人掌握",
            )
        )
        return True

    def _heads(self, proof: ChainProof) -> Claim | None:
        try:
            claim = heads_of(proof.heads)
        except ChainIntegrityError as exc:
            self._note("the heads", False, str(exc), f"状态证明不成立({exc})")
            return None
        root = proof.heads.header.state_root
        self._note(
            "the heads",
            True,
            f"heads and event counts of {len(claim.heads)} contracts are proven under the state root {root}",
            f"{len(claim.heads)}个合约的头值与事件数已在状态根{root}下得到证明",
        )
        return claim

    # What the record is

    def _addresses(self) -> None:
        wrong = misnamed(self._contents.entries, self._contents.identity)
        if wrong:
            listed = ", ".join(wrong)
            self._note("the contracts", False, f"not as the Directory names them: {listed}", f"与目录合约不符:{listed}")
        else:
            self._note("the contracts", True, "as the Directory's events name them", "与目录合约事件所载一致")

    def _events(self) -> None:
        en: list[str] = []
        zh: list[str] = []
        for name, running in self._state.running.items():
            if running.breaks:
                en.append(f"{name} has gaps")
                zh.append(f"{name}的事件序号不连续")
                continue
            for claim, source, source_zh in (
                (self._claim, "checkpoint's", "检查点"),
                (self._proven, "proven", "已证明"),
            ):
                if claim is not None and claim.heads.get(name) != (running.now.head, running.now.seq):
                    en.append(f"{name} does not re-hash to the {source} head")
                    zh.append(f"{name}的事件重算后与{source_zh}的头值不符")
        count = self._state.events
        whole, whole_zh = "count without gaps", "序号连续"
        if self._proven is not None:
            whole, whole_zh = "re-hash to the proven heads", "重算后与已证明的头值一致"
        elif self._claim is not None:
            whole, whole_zh = "re-hash to the checkpoint's heads", "重算后与检查点的头值一致"
        self._note(
            "the events",
            not en,
            "; ".join(en) or f"{count} events {whole}",
            ";".join(zh) or f"共{count}个事件,{whole_zh}",
        )

    def _places(self) -> None:
        claim, running = self._claim, self._state.running
        moved = [
            name
            for name, now in running.items()
            if claim is not None and claim.places.get(name, now.now.places) != now.now.places
        ]
        en, zh = "not fixed by a checkpoint", "未由检查点固定"
        if claim is not None and claim.time is not None and claim.places:
            en, zh = "blocks, times and transactions as signed", "区块、时间、交易与所签一致"
            moved += [name for name in running if name not in claim.places]
            if claim.time != self._contents.tip.time:
                moved.append("the last block's time")
        if moved:
            en, zh = f"moved: {', '.join(moved)}", f"位置被改动:{'、'.join(moved)}"
        fixed = claim is not None and claim.time is not None and bool(claim.places)
        self._note("the places", not moved, en, zh, checked=fixed or bool(moved))

    def _documents(self, papers: Papers) -> None:
        strange = sorted(kind for kind, key in self._contents.documents if (kind, key) not in papers.served)
        en = f"{len(papers.served)} documents have the digests that the events name"
        zh = f"{len(papers.served)}份文书的摘要与事件所载一致"
        if strange:
            listed = ", ".join(strange)
            en, zh = f"named by no event, or not what it says: {listed}", f"未被任何事件引用或内容不符:{listed}"
        self._note(
            "the documents",
            not strange,
            f"{en}; {len(papers.absent)} named ones are not in the bundle",
            f"{zh};另有{len(papers.absent)}份被引用的文书不在证据包内",
        )

    def _trail(self, papers: Papers) -> Trail | None:
        try:
            found = trail_of(self._state, self._contents.entries, self._contents.subject, papers)
        except RequestError as exc:
            self._note("the trail", False, str(exc), "账本中没有该对象")
            return None
        self._note(
            "the trail",
            True,
            f"{len(found.rows)} events of {found.subject}",
            f"对象{found.subject}的事件{len(found.rows)}个",
        )
        return found

    # What the chain's receipts prove

    def _receipts(self, proof: ChainProof, trail: Trail | None) -> bool:
        """Whether receipts under sealed headers fix blocks and times of all of the subject's events."""
        if not proof.blocks:
            self._note("the receipts", True, "none in the bundle", "证据包内没有交易收据证明", checked=False)
            return False
        places = set() if trail is None else {row.place for row in trail.rows}
        wanted = [entry for entry in self._contents.entries if entry.place in places]
        try:
            verify_events(proof.blocks, wanted)
            sealed = sum(self._block_sealed(block.header) for block in proof.blocks)
        except ChainIntegrityError as exc:
            self._note("the receipts", False, str(exc), f"收据证明不成立({exc})")
            return False
        count = len(proof.blocks)
        en, zh = "T names no validators whose seals could be looked for", "T未列出可供核对封印的验证者"
        if self._sets:
            en, zh = f"{sealed} of them sealed as T demands", f"其中{sealed}个区块的封印满足T的要求"
        self._note(
            "the receipts",
            True,
            f"{len(wanted)} events stand in receipts of {count} blocks; {en}",
            f"{len(wanted)}个事件均在{count}个区块的收据中;{zh}",
        )
        return sealed == count

    def _block_sealed(self, header: Header) -> bool:
        """Blocks before the pinned set served may have had other validators; later ones have no such excuse."""
        if not self._sets:
            return False
        try:
            verify_header(header, self._sets)
        except ChainIntegrityError:
            if header.number >= self._pinned_at:
                raise
            return False
        return True

    def _rely_on_maker(self, placed: bool) -> None:
        """For what neither checkpoint nor receipts fix."""
        if self._claim is not None and self._claim.time is not None and self._claim.places:
            return
        if placed:
            en = "for transactions and positions within a block, and for blocks and times of other events"
            zh = "交易哈希与块内位置,以及其他事件的区块与时间"
        else:
            en, zh = "for blocks, times and transactions of the events", "事件的区块、时间与交易"
        self._relied.append(Words(f"the maker of the bundle, {en}", f"证据包制作者:{zh}"))

    def _concerns(self, finding: Finding, trail: Trail | None) -> bool:
        """Whether a finding is about the subject, about something on its trail, or about the record."""
        if finding.subject.kind in ("ledger", "contract") or finding.subject == self._contents.subject:
            return True
        return trail is not None and finding.subject.id in _ids(trail)


def _ids(trail: Trail) -> Iterator[str]:
    for row in trail.rows:
        if row.who is not None:
            yield str(row.who)
        for value in row.body.values():
            if isinstance(value, str):
                yield value
