"""The HTTP bodies of a node: pydantic models at the edge, mapped by hand to the typed values inside.

Ids, digests and accounts travel as 0x text; a bad one is a 400 problem, told by the parser that owns the type.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from node.errors import InputRefusedError

__all__ = [
    "AnswerBody",
    "CustodyBody",
    "DealBody",
    "DenialBody",
    "GrantBody",
    "OfferBody",
    "OpenDealBody",
    "OrderBody",
    "PlaceBody",
    "RebindBody",
    "RegisterBody",
    "RequestBody",
    "RetireBody",
    "ShareBody",
    "ShredBody",
    "unhexed",
]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CustodyBody(Body):
    custodians: list[str] = Field(min_length=1, max_length=32)
    threshold: int = Field(ge=1, le=32)
    waiting_seconds: int = Field(default=86_400, ge=0, lt=2**32)


class RegisterBody(Body):
    """`metadata` is kept as a document; only its salted hash goes on chain."""

    metadata: dict[str, Any]


class OfferBody(Body):
    """`path` is a file of the machine that the node runs on; the policy's target is the asset."""

    path: str
    policy: dict[str, Any]
    custody: CustodyBody
    asset: str
    media_type: str = ""
    time_column: str = "time"


class OpenDealBody(Body):
    """`reason` stands on chain; without a version the newest one is meant."""

    reason: str = Field(max_length=256)
    version: int | None = Field(default=None, ge=1)


class DealBody(Body):
    custody: CustodyBody
    version: int | None = Field(default=None, ge=1)


class RebindBody(Body):
    policy: dict[str, Any]
    custody: CustodyBody
    version: int | None = Field(default=None, ge=1)


class AnswerBody(Body):
    """A person's word on an opening; the reason stays in this home."""

    refuse: bool = False
    reason: str = Field(default="", max_length=256)


class ShredBody(Body):
    """One deal by its hash, or all that is held of an asset."""

    deal: str = ""
    asset: str = ""


class RetireBody(Body):
    reason: str = Field(max_length=256)


class ShareBody(Body):
    deal: dict[str, Any]
    policy: dict[str, Any]
    share: dict[str, Any]


class RequestBody(Body):
    asset: str
    purpose: str = Field(max_length=256)
    algorithm: dict[str, Any]
    code: str
    compute_node: str


class GrantBody(Body):
    uses: int | None = Field(default=None, ge=0)
    seconds: int | None = Field(default=None, ge=0)
    rows: int | None = Field(default=None, ge=0)


class DenialBody(Body):
    reason: int = Field(ge=0, lt=2**16)


class PlaceBody(Body):
    grants: list[str] = Field(min_length=1, max_length=16)
    parameters: dict[str, Any] = Field(default_factory=dict)
    seconds: int = Field(default=3600, ge=1)


class OrderBody(Body):
    """A buyer's signed order, as a compute node takes it."""

    order: dict[str, Any]
    signature: str
    algorithm: dict[str, Any]
    code: str
    parameters: dict[str, Any]


def unhexed(text: str) -> bytes:
    """Bytes of a hex text, with or without 0x."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise InputRefusedError(f"keys and signatures are written in hex digits, not {text[:20]!r}") from error
