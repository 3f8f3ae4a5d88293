import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from capsule import canonical
from capsule.box_statement import box_key_statement
from capsule.deal import Deal
from capsule.errors import InputError, PolicyError
from capsule.ids import AssetId, Bytes32, Digest
from capsule.policy.offer import offer
from contracts.roles import Role
from node.catalogue import Catalogue, CustodyPlan, Offering, Plaintext
from node.errors import (
    HomeError,
    InputRefusedError,
    PeerAnswerError,
    PeerUnreachableError,
    RefusedError,
    StoreError,
    UnknownError,
)
from node.home import Home
from node.intake import read_plaintext
from tests.node.space import CSV, Space


class UnpluggedError(Exception):
    """The process ends here."""


@pytest.fixture
def asset(space: Space) -> AssetId:
    return space.register()


def kept(space: Space, name: str = "provider") -> tuple[set[str], int]:
    """Files in the capsule folder, and offerings."""
    node = space[name].node
    return {path.name for path in node.context.home.folder("capsules").iterdir()}, len(node.catalogue.offerings())


def plan(space: Space) -> CustodyPlan:
    return CustodyPlan(space.custodians, threshold=2, waiting_seconds=0)


def plaintext(stream: Any = None) -> Plaintext:
    return Plaintext(stream or io.BytesIO(CSV), len(CSV), "text/csv", {"time_column": "time"})


def refuse(space: Space, error: type[Exception], match: str, *arguments: Any) -> None:
    """Sealing is refused, and nothing was written."""
    before, head = kept(space), space.world.chain.head().number
    with pytest.raises(error, match=match):
        space["provider"].node.catalogue.seal(*arguments)
    assert kept(space) == before
    assert space.world.chain.head().number == head


@pytest.mark.parametrize("stage", ["sealed", "published", "dealt"])
@pytest.mark.parametrize("recorded", [True, False])
def test_finish_resumes_from_every_stage(
    space: Space, asset: AssetId, stage: str, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at each stage: before the next step acted, or after it acted and before that was recorded."""
    root = space.seal(asset).capsule_root
    advance = Catalogue._advance

    def dying(self: Catalogue, row: Any, reached: str) -> Any:
        if not recorded and reached != stage and row.stage == stage:
            raise UnpluggedError
        row = advance(self, row, reached)
        if recorded and reached == stage:
            raise UnpluggedError
        return row

    if not (recorded and stage == "sealed"):
        with monkeypatch.context() as patch:
            patch.setattr(Catalogue, "_advance", dying)
            with pytest.raises(UnpluggedError):
                space["provider"].node.catalogue.finish(root)
    catalogue = space.restart("provider").catalogue
    (offering,) = [one for one in catalogue.offerings() if one.capsule_root == root]
    assert offering.stage == stage
    assert catalogue.finish(root).stage == "delivered"
    assets = space["provider"].ledger.assets
    assert assets.asset_of(asset).versions == 1
    assert assets.version_of(asset, 1).deals == 1
    assert assets.is_ready(asset, 1, 1)
    head = space.world.chain.head().number
    assert catalogue.finish(root).stage == "delivered"
    assert space.world.chain.head().number == head


def test_a_custodian_out_of_reach_leaves_the_offering_dealt(space: Space, asset: AssetId) -> None:
    root = space.seal(asset).capsule_root
    catalogue = space["provider"].node.catalogue
    with space.away("custodian-2"), pytest.raises(PeerUnreachableError, match="custodian-2"):
        catalogue.finish(root)
    (offering,) = [one for one in catalogue.offerings() if one.capsule_root == root]
    assert offering.stage == "dealt"
    assets = space["provider"].ledger.assets
    accepted = [assets.has_accepted(asset, 1, 1, account) for account in space.custodians]
    assert accepted == [True, False, True]
    assert catalogue.finish(root).stage == "delivered"
    assert assets.has_accepted(asset, 1, 1, space.custodians[1])


def test_a_custodian_that_refuses_is_told(space: Space, asset: AssetId, monkeypatch: pytest.MonkeyPatch) -> None:
    root = space.seal(asset).capsule_root

    def refusing(*_: object) -> None:
        raise RefusedError("the share", "not today")

    with monkeypatch.context() as patch:
        patch.setattr(space["custodian-1"].node.custody, "_accept", refusing)
        with pytest.raises(PeerAnswerError, match="not today"):
            space["provider"].node.catalogue.finish(root)
    assert space["provider"].node.catalogue.finish(root).stage == "delivered"


def test_two_capsules_for_one_version_do_not_pass_for_each_other(space: Space, asset: AssetId) -> None:
    first, second = space.seal(asset), space.seal(asset)
    catalogue = space["provider"].node.catalogue
    assert catalogue.finish(second.capsule_root).stage == "delivered"
    with pytest.raises(InputRefusedError, match="version 1 is another capsule"):
        catalogue.finish(first.capsule_root)
    assert space["provider"].ledger.assets.asset_of(asset).versions == 1
    assert catalogue.finish(space.seal(asset).capsule_root).version == 2


def test_another_deal_does_not_pass_for_this_one(space: Space, asset: AssetId, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = space.seal(asset)
    provider = space["provider"]

    def unplugged(*_: object) -> None:
        raise UnpluggedError

    with monkeypatch.context() as patch:
        patch.setattr(provider.ledger.assets, "deal", unplugged)
        with pytest.raises(UnpluggedError):
            provider.node.catalogue.finish(sealed.capsule_root)
    provider.node.context.view.refresh()
    terms = provider.node.context.view.version(asset, 1).terms
    holders = (provider.account, *space.custodians)
    provider.ledger.assets.deal(asset, 1, Digest(bytes(range(32))), 2, 0, holders, terms)
    with pytest.raises(InputRefusedError, match="deal 1 of this version is another one"):
        provider.node.catalogue.finish(sealed.capsule_root)


def _with_term(policy: Any, term: str) -> Any:
    constraint = {"leftOperand": term, "operator": "eq", "rightOperand": "CN"}
    permission = policy["permission"][0]
    return {**policy, "permission": [{**permission, "constraint": [*permission["constraint"], constraint]}]}


@pytest.mark.parametrize("term", ["spatial", "ds:moonPhase"])
def test_a_term_that_can_not_be_enforced_is_refused_by_its_name(space: Space, asset: AssetId, term: str) -> None:
    policy = _with_term(space.policy(asset), term)
    refuse(space, PolicyError, term, asset, plaintext(), policy, plan(space))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda one: replace(one, threshold=0), "threshold 0 of 3"),
        (lambda one: replace(one, threshold=1), "at least 2"),
        (lambda one: replace(one, threshold=4), "threshold 4 of 3"),
        (lambda one: replace(one, custodians=()), "threshold 2 of 0"),
        (lambda one: replace(one, custodians=(*one.custodians, one.custodians[0])), "each custodian once"),
    ],
)
def test_custodians_that_do_not_fit_are_refused(
    space: Space, asset: AssetId, change: Callable[[CustodyPlan], CustodyPlan], match: str
) -> None:
    refuse(space, InputRefusedError, match, asset, plaintext(), space.policy(asset), change(plan(space)))


def test_custodians_outside_the_policy_and_the_provider_itself_are_refused(space: Space, asset: AssetId) -> None:
    policy = space.policy(asset, custodians=space.custodians[:2])
    refuse(space, InputRefusedError, "does not allow the custodian", asset, plaintext(), policy, plan(space))
    own = CustodyPlan((space["provider"].account, *space.custodians), 2)
    refuse(space, InputRefusedError, "not its provider", asset, plaintext(), space.policy(asset), own)


def test_the_asset_must_be_this_providers_own_and_the_policys(space: Space, asset: AssetId) -> None:
    other = space.register()
    refuse(space, InputRefusedError, "the policy is for", asset, plaintext(), space.policy(other), plan(space))
    stranger = AssetId(bytes(range(32)))
    refuse(space, UnknownError, "asset of this", stranger, plaintext(), space.policy(stranger), plan(space))
    space["provider"].node.catalogue.retire(other, "over")
    refuse(space, InputRefusedError, "is retired", other, plaintext(), space.policy(other), plan(space))


def test_a_custodian_without_keys_is_refused(space: Space, asset: AssetId) -> None:
    keyless = space.world.join("keyless")
    custody = CustodyPlan((*space.custodians[:2], keyless.account), 2)
    policy = space.policy(asset, custodians=custody.custodians)
    refuse(space, RefusedError, "no keys on chain", asset, plaintext(), policy, custody)


def test_a_box_key_that_its_owner_did_not_sign_is_refused(space: Space, asset: AssetId) -> None:
    """The chain keeps any signature over a box key; who seals to it checks."""
    member = space.world.join("unsigned")
    space.world.operator.participants.admit(
        member.account, member.uscc, Digest(bytes(range(32))), Role.CUSTODIAN, value=10**18
    )
    signer = member.keystore.signer
    foreign = box_key_statement(member.ledger.domain, space.custodians[0], member.keystore.box.public)
    member.ledger.participants.set_keys(
        signer.suite, signer.public_key, Bytes32(member.keystore.box.public), signer.sign(foreign)
    )
    custody = CustodyPlan((*space.custodians[:2], member.account), 2)
    policy = space.policy(asset, custodians=custody.custodians)
    refuse(space, RefusedError, "its box key is not its own", asset, plaintext(), policy, custody)


class FailingStream(io.BytesIO):
    """A file on a disk that fails after its first half."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 0:
            raise OSError(28, "No space left on device")
        return super().read(len(CSV) // 2)


def test_a_disk_that_fails_while_sealing_leaves_nothing(space: Space, asset: AssetId) -> None:
    arguments = (asset, plaintext(FailingStream(CSV)), space.policy(asset), plan(space))
    refuse(space, HomeError, "No space left on device", *arguments)


def test_a_database_that_fails_while_sealing_leaves_nothing(
    space: Space, asset: AssetId, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = space["provider"].node.context.store

    def full(*_: object, **__: object) -> None:
        raise StoreError(Path("node.db"))

    with monkeypatch.context() as patch:
        patch.setattr(store, "save", full)
        refuse(space, StoreError, "can't be read or written", asset, plaintext(), space.policy(asset), plan(space))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from node.errors import HomeError
from node.home import Home, create_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with Home(Path(sys.argv[1])) as home:
    try:
        with create_whole(home.folder("capsules") / "capsule.dsc") as sink:
            for _ in range(10):
                sink.write(bytes(65_536))
                sink.flush()
    except HomeError as error:
        print(error)
"""


def test_a_file_that_outgrows_its_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "nothing was left behind" in ended.stdout, ended.stderr
    assert list((tmp_path / "capsules").iterdir()) == []


def test_a_plaintext_that_is_not_as_long_as_said_leaves_nothing(space: Space, asset: AssetId) -> None:
    short = Plaintext(io.BytesIO(CSV), len(CSV) + 1, "text/csv", {})
    refuse(space, InputError, "fewer than", asset, short, space.policy(asset), plan(space))


def test_half_written_files_are_cleared_away_at_the_next_start(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        left = home.folder("capsules") / ".capsule.abc.part"
        left.write_bytes(b"half")
        whole = home.folder("capsules") / "capsule.dsc"
        whole.write_bytes(b"whole")
    with Home(tmp_path):
        assert not left.exists()
        assert whole.exists()


def test_shares_rest_sealed_each_to_its_holder(space: Space, asset: AssetId) -> None:
    sealed: Offering = space.seal(asset)
    store = space["provider"].node.context.store
    deal = Deal.from_json(canonical.decode(store.document("deal", sealed.deal_hash) or b""))
    assert [holder.account for holder in deal.holders] == [space["provider"].account, *space.custodians]
    row = store.offering(sealed.capsule_root)
    assert row is not None
    assert b"blinding" not in row.shares


def test_the_smallest_policy_goes_through_custody(space: Space, asset: AssetId) -> None:
    sealed = space.seal(asset, offer(asset=asset, provider=space["provider"].account))
    assert space["provider"].node.catalogue.finish(sealed.capsule_root).stage == "delivered"


# Intake


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("readings.txt", b"x", "of no known kind"),
        ("readings.csv", b"", "a first line that names every column once"),
        ("readings.csv", b"time,power,power\n1,2,3\n", "a first line that names every column once"),
        ("readings.csv", b"time,\n1,2\n", "a first line that names every column once"),
        ("readings.csv", b"\xff\xfe\x00", "no CSV in UTF-8"),
        ("readings.csv", b"x" * 200_000, "no CSV in UTF-8"),
        ("readings.frames", b"nonsense", "the frames can't be read"),
        ("readings.parquet", b"PAR1 and no end", "is no Parquet file"),
        ("readings.parquet", b"", "is no Parquet file"),
    ],
)
def test_what_can_not_be_sealed_is_refused_by_name(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputRefusedError, match=match), read_plaintext(path, "", "time"):
        pass


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="can't be read"), read_plaintext(tmp_path / "a.csv", "", "time"):
        pass
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(InputRefusedError, match="can't be read"), read_plaintext(tmp_path / "b.csv", "", "time"):
        pass


def test_a_csv_with_a_byte_order_mark_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "readings.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CSV)
    with read_plaintext(path, "", "time") as taken:
        assert taken.schema == {"columns": [{"name": "time"}, {"name": "power"}]}
        assert taken.size == len(CSV) + 3
