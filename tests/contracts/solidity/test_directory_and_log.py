"""The directory's entries and the heads of operation logs."""

import pytest

from tests.contracts.solidity.errors import exercises
from tests.contracts.solidity.space import NOBODY, ZERO, Space, h

NAME = b"Access".ljust(32, b"\x00")


def test_the_directory_says_what_it_was_built_with(space: Space) -> None:
    assert space.directory.call("genesisHash") == h("genesis")
    assert space.directory.call("finality") == (3, False)
    tagged = space.chain.deploy("Directory", h("genesis"), 12, True, sender=space.operator.address)
    assert tagged.call("finality") == (12, True)


@exercises("DirectoryEntryTaken", "DirectoryEntryEmpty")
def test_entries_are_written_once_by_the_admin(space: Space) -> None:
    operator, entry = space.operator.address, space.access.address
    with space.refused("OwnableUnauthorizedAccount"):
        space.directory.send(space.provider.address, "setEntry", NAME, entry)
    with space.refused("DirectoryEntryEmpty", NAME):
        space.directory.send(operator, "setEntry", NAME, NOBODY)
    space.directory.send(operator, "setEntry", NAME, entry)
    for again in (entry, space.assets.address):
        with space.refused("DirectoryEntryTaken", NAME, entry):
            space.directory.send(operator, "setEntry", NAME, again)
    assert space.directory.call("entryOf", NAME) == entry
    assert space.directory.call("entryOf", ZERO) == NOBODY


def test_the_admin_is_replaced_in_two_steps(space: Space) -> None:
    operator, heir = space.operator.address, space.stranger.address
    space.directory.send(operator, "transferOwnership", heir)
    assert space.directory.call("owner") == operator
    with space.refused("OwnableUnauthorizedAccount"):
        space.directory.send(heir, "setEntry", NAME, heir)
    space.directory.send(heir, "acceptOwnership")
    with space.refused("OwnableUnauthorizedAccount"):
        space.directory.send(operator, "setEntry", NAME, operator)
    space.directory.send(heir, "setEntry", NAME, heir)


def test_contracts_know_each_other(space: Space) -> None:
    for contract in (space.assets, space.access, space.devices, space.operation_log):
        assert contract.call("participants") == space.participants.address
    assert space.access.call("assets") == space.assets.address


@exercises("OperationLogNotActive", "OperationLogSizeNotGrown", "OperationLogPreviousMismatch")
@pytest.mark.parametrize("who", ["buyer", "compute", "regulator"])
def test_a_log_only_grows(space: Space, who: str) -> None:
    account, contract = getattr(space, who).address, space.operation_log
    with space.refused("OperationLogNotActive", space.stranger.address):
        contract.send(space.stranger.address, "anchorHead", 1, h("root 1"), ZERO)
    with space.refused("OperationLogPreviousMismatch", account, h("other"), ZERO):
        contract.send(account, "anchorHead", 1, h("root 1"), h("other"))
    with space.refused("OperationLogSizeNotGrown", account, 0, 0):
        contract.send(account, "anchorHead", 0, h("root 1"), ZERO)
    contract.send(account, "anchorHead", 4, h("root 4"), ZERO)
    for size in (3, 4):
        with space.refused("OperationLogSizeNotGrown", account, size, 4):
            contract.send(account, "anchorHead", size, h("root"), h("root 4"))
    with space.refused("OperationLogPreviousMismatch", account, ZERO, h("root 4")):
        contract.send(account, "anchorHead", 5, h("root 5"), ZERO)
    contract.send(account, "anchorHead", 5, h("root 5"), h("root 4"))
    assert contract.call("lastHeadOf", account) == (5, h("root 5"))
    space.suspend(getattr(space, who))
    with space.refused("OperationLogNotActive", account):
        contract.send(account, "anchorHead", 6, h("root 6"), h("root 5"))
