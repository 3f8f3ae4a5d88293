"""The runtime where a library is missing, or only pretends: `without LIBRARY|pretend PARENT DESCRIPTOR...`."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

from node.runtime.__main__ import main


class PretendingFilter:
    def __init__(self, default: int) -> None:
        self.default = default

    def set_attr(self, attribute: int, value: int) -> None: ...

    def add_rule(self, action: int, name: str, *arguments: object) -> None: ...

    def load(self) -> None: ...


PRETENDING = SimpleNamespace(
    ALLOW=0,
    EQ=4,
    MASKED_EQ=7,
    ERRNO=int,
    Attr=SimpleNamespace(CTL_TSYNC=4),
    Arch=SimpleNamespace(NATIVE=0),
    Arg=lambda *numbers: numbers,
    SyscallFilter=PretendingFilter,
    resolve_syscall=lambda arch, name: 1,
)


def loader(name: str) -> ModuleType:
    if name == sys.argv[1]:
        raise RuntimeError(f"unable to find {name}")
    if name == "pyseccomp" and sys.argv[1] == "pretend":
        return PRETENDING  # type: ignore[return-value]
    return importlib.import_module(name)


sys.exit(main(sys.argv[2:], loader))
