"""Thing models: what the readings of a kind of device are called, their units, their possible range, their physics.

Units are labels; values are never converted. A reading that can't be is kept and marked, never dropped. A column that a
model doesn't know has no unit and any value passes. The hash of a model stands on chain with each device.

Invariant: a model read from its document writes that document again, byte by byte: a rule that this version does not
know is refused, never left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from capsule.canonical import Json, decode, encode
from capsule.digest import document_digest
from capsule.document import Fields
from capsule.errors import FormatError
from capsule.ids import Digest
from capsule.thing.physics import NO_PHYSICS, NO_ROLES, Physics, Roles
from capsule.thing.schema import Quantity, quantities_of, schema_of, split_column

__all__ = ["ThingModel"]

_KIND: Final = "dataspace/thing-model"
_FORMAT: Final = 2
_MAX_LATE: Final = 100 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class ThingModel:
    """A kind of device. Readings that arrive more than `late_after` seconds after their time are `late`.

    `capacity` is the nominal energy in kWh of all devices of the model, None where they differ.
    """

    name: str
    version: int
    late_after: int
    quantities: tuple[Quantity, ...]
    physics: Physics = NO_PHYSICS
    roles: Roles = NO_ROLES
    capacity: float | None = None

    def to_json(self) -> Json:
        return {
            "kind": _KIND,
            "version": _FORMAT,
            "name": self.name,
            "model_version": self.version,
            "late_after": self.late_after,
            "capacity_kwh": self.capacity,
            "schema": schema_of(self.quantities),
            "physics": self.physics.to_json(),
            "roles": self.roles.to_json(),
        }

    def to_bytes(self) -> bytes:
        """RFC 8785 JSON."""
        return encode(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> ThingModel:
        """Raises FormatError, also for a model that says more than this version checks."""
        document = decode(data)
        fields = Fields.of(document, _KIND, _FORMAT)
        model = cls(
            fields.text("name"),
            fields.integer("model_version", 1),
            fields.integer("late_after", 0, _MAX_LATE),
            quantities_of(fields.object("schema")),
            Physics.from_fields(fields.object("physics")),
            Roles.from_fields(fields.object("roles")),
            None if fields.value("capacity_kwh") is None else fields.number("capacity_kwh", 0),
        )
        if model.to_bytes() != encode(document):
            raise FormatError(f"thing model {model.name:.80} says what this version does not know; use a newer one")
        return model

    @property
    def hash(self) -> Digest:
        return document_digest("thing-model", self.to_json())

    @property
    def schema(self) -> Json:
        """The JSON Schema of a row's readings as an object, column by column."""
        return schema_of(self.quantities)

    def quantity(self, column: str) -> Quantity | None:
        """The quantity of a column. "P_AC" is also that of "P_AC_batt10": a unit's column ends with the unit's name."""
        found = self.split(column)
        return None if found is None else next(item for item in self.quantities if item.name == found[0])

    def split(self, column: str) -> tuple[str, str] | None:
        """Quantity and unit's name of a column; None where the model doesn't know it."""
        return split_column(tuple(quantity.name for quantity in self.quantities), column)

    def unit(self, column: str) -> str:
        """The unit's label, or "" where the model knows none."""
        quantity = self.quantity(column)
        return "" if quantity is None else quantity.unit
