"""Routes of the operator's own: rotation of this organisation's keys, and a backup of its home."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from pydantic import Field

from node.organisation import Node
from node.schemas import Body

__all__ = ["keyring_routes"]

Answer = dict[str, Any]


class RotateBody(Body):
    """See `Rotation.rotate`; `distrusted_from` in unix seconds."""

    suite: int | None = None
    distrusted_from: int = Field(default=0, ge=0, lt=2**63)
    again: bool = False
    keys_lost: bool = False


class ForgetBody(Body):
    keep_seconds: int = Field(ge=0, lt=2**63)


class BackupBody(Body):
    """`path`: where this machine writes the file."""

    path: str = Field(min_length=1, max_length=4096)


def keyring_routes(app: FastAPI, node: Node, operator: Callable[..., None]) -> None:
    """Adds the routes to the node's application; `operator` refuses calls without this home's token."""
    guard = [Depends(operator)]

    @app.post("/v1/organisation/keys/rotate", dependencies=guard)
    def rotate(body: RotateBody) -> Answer:
        rotated = node.rotate_keys(
            suite=body.suite, distrusted_from=body.distrusted_from, again=body.again, keys_lost=body.keys_lost
        )
        return {
            "account": str(node.context.account),
            "suite": rotated.suite,
            "signing_key": rotated.signing_key.hex(),
            "box_key": rotated.box_key.hex(),
            "replaced_at": rotated.replaced_at,
            "distrusted_from": rotated.distrusted_from,
            "out_of_reach": rotated.out_of_reach,
            "new": rotated.new,
        }

    @app.post("/v1/organisation/keys/forget", dependencies=guard)
    def forget(body: ForgetBody) -> Answer:
        forgotten = node.forget_former_keys(body.keep_seconds)
        return {"dropped": forgotten.dropped, "kept": forgotten.kept}

    @app.post("/v1/organisation/backup", status_code=201, dependencies=guard)
    def back_up(body: BackupBody) -> Answer:
        path = Path(body.path)
        node.back_up(path)
        return {"file": str(path), "bytes": path.stat().st_size}
