"""A data space in a process that is about to be killed: everything up to the run, then the run.

Prints one line when the holders have released, and works on until it is killed.
"""

import json
import sys
import time
from pathlib import Path

import scripts.demo.world
from tests.node.space import Space, build_space

PASSPHRASE = "kill passphrase"


def main(home: Path) -> None:
    create = scripts.demo.world.create_keystore
    scripts.demo.world.create_keystore = lambda path, _, *drawn: create(path, PASSPHRASE, *drawn)
    with build_space(home) as space:
        grant = space.granted(space.offered(uses_per_grant=1, uses_per_buyer=1))
        order = space.ordered(grant).order_hash
        space["compute"].node.work()
        space.release()
        tell(space, str(grant), str(order))
        space["compute"].node.work()
        time.sleep(600)


def tell(space: Space, grant: str, order: str) -> None:
    told = {"directory": str(space.world.directory), "grant": grant, "order": order}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
