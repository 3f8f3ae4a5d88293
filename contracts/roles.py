"""Roles of an organisation, as bits (IParticipants.admit)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag

from capsule.errors import InputError

__all__ = ["Role", "role_names", "roles_from_names"]


class Role(IntFlag):
    """Bits of `roles`; their order and values are fixed by IParticipants."""

    PROVIDER = 1
    BUYER = 2
    CUSTODIAN = 4
    COMPUTE = 8
    GATEWAY = 16
    REGULATOR = 32


def role_names(roles: int) -> tuple[str, ...]:
    """Lower-case names of the roles set, lowest bit first; unknown bits are named by their number."""
    known = tuple(role.name.lower() for role in Role if role & roles and role.name)
    unknown = roles & ~sum(Role)
    return (*known, f"{unknown:#x}") if unknown else known


def roles_from_names(names: Iterable[str]) -> Role:
    """The roles of these names, in any case; raises InputError for one that is none."""
    roles = Role(0)
    for name in names:
        try:
            roles |= Role[name.strip().upper()]
        except KeyError:
            known = ", ".join(role_names(sum(Role)))
            raise InputError(f"unknown role {name!r}; roles are {known}") from None
    return roles
