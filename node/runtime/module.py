"""What a WebAssembly module asks for, read from its bytes: nothing is compiled, and no library is trusted.

`check_module` can be called before any key is asked for, in a process that holds keys, as `sql.check` can. `wasm` then
has the engine read the module again inside the confined process, with everything switched off that is not needed, so
that a module which two readers understand differently is refused by the stricter one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from node.errors import RuntimeRefusedError

__all__ = ["CONFIGURATION", "ENTRY", "IMPORTS", "MAX_MODULE_BYTES", "MEMORY", "MEMORY_BYTES", "WASI", "check_module"]

MAX_MODULE_BYTES: Final = 8 << 20
MEMORY_BYTES: Final = 512 << 20
"""A module's memory is never more, on any node: what it computes must not depend on whose machine runs it."""
WASI: Final = "wasi_snapshot_preview1"
ENTRY: Final = "_start"
MEMORY: Final = "memory"

# Of `wasm`, set when its engine is made; the measurement covers it. What is not needed is off.
CONFIGURATION: Final[dict[str, str | int | bool]] = {
    "target": "pulley64",
    "strategy": "cranelift",
    "signals_based_traps": False,
    "parallel_compilation": False,
    "consume_fuel": True,
    "cranelift_nan_canonicalization": True,
    "max_wasm_stack": 1 << 20,
    # all of it is set aside at the start, so that growing fails by the limit and never for want of memory
    "memory_reservation": MEMORY_BYTES,
    "memory_reservation_for_growth": 0,
    "memory_may_move": False,
    "memory_guard_size": 0,
    "memory_init_cow": False,
    "wasm_bulk_memory": True,
    "wasm_multi_value": True,
    "wasm_reference_types": True,
    "wasm_component_model": False,
    "wasm_custom_page_sizes": False,
    "wasm_exceptions": False,
    "wasm_function_references": False,
    "wasm_gc": False,
    "wasm_memory64": False,
    "wasm_multi_memory": False,
    "wasm_relaxed_simd": False,
    "wasm_simd": False,
    "wasm_stack_switching": False,
    "wasm_tail_call": False,
    "wasm_threads": False,
    "wasm_wide_arithmetic": False,
}

_PAGE_BYTES: Final = 65_536
_I32: Final = 0x7F
_I64: Final = 0x7E


def _type(parameters: str, results: str = "i") -> tuple[bytes, bytes]:
    """A function type, a letter for each value: i for i32, I for i64."""
    codes = {"i": _I32, "I": _I64}
    return bytes(codes[one] for one in parameters), bytes(codes[one] for one in results)


IMPORTS: Final[Mapping[str, tuple[bytes, bytes]]] = MappingProxyType(
    {
        "args_get": _type("ii"),
        "args_sizes_get": _type("ii"),
        "environ_get": _type("ii"),
        "environ_sizes_get": _type("ii"),
        "fd_close": _type("i"),
        "fd_fdstat_get": _type("ii"),
        "fd_prestat_dir_name": _type("iii"),
        "fd_prestat_get": _type("ii"),
        "fd_read": _type("iiii"),
        "fd_seek": _type("iIii"),
        "fd_write": _type("iiii"),
        "proc_exit": _type("i", ""),
    }
)
"""What a module may import, all of WASI preview 1, with types. No clock, randomness, path, socket or poll."""

# sections come once each, in this order; the data count stands before the code
_ORDER: Final = (1, 2, 3, 4, 5, 6, 7, 9, 12, 10, 11)
_VALUES: Final = frozenset((0x7F, 0x7E, 0x7D, 0x7C, 0x70, 0x6F))
_MAX_ITEMS: Final = 100_000
_MAX_NAME: Final = 10_000
_T = TypeVar("_T")


class _Reader:
    """Bytes from front to end; whatever is not there, or is not what it must be, is a module that may not run."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def ended(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise _refused()
        self._at += size
        return self._data[self._at - size : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """An unsigned LEB128 of 32 bits."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 1 << 32:
                    break
                return value
        raise _refused()

    def name(self) -> str:
        size = self.number()
        if size > _MAX_NAME:
            raise _refused()
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise _refused() from None

    def items(self, read: Callable[[], _T]) -> list[_T]:
        count = self.number()
        if count > _MAX_ITEMS:
            raise _refused()
        return [read() for _ in range(count)]

    def values(self) -> bytes:
        found = bytes(self.items(self.byte))
        if not set(found) <= _VALUES:
            raise _refused()
        return found

    def function_type(self) -> tuple[bytes, bytes]:
        if self.byte() != 0x60:
            raise _refused()
        return self.values(), self.values()

    def limits(self) -> tuple[int, int | None]:
        """Least and most of a table or memory: 32 bits, not shared."""
        flags = self.byte()
        if flags not in (0, 1):
            raise _refused()
        return self.number(), self.number() if flags else None


def check_module(code: bytes) -> bytes:
    """Returns the module when it may be run, as far as its sections say.

    Raises RuntimeRefusedError of kind "algorithm": "import" when it imports anything but IMPORTS, "module" when it is
    no WASI command of the first version of WebAssembly with one memory of its own; "memory" of kind "limits" when that
    is too large from the start.
    """
    if len(code) > MAX_MODULE_BYTES or code[:8] != b"\0asm\x01\0\0\0":
        raise _refused()
    sections = _sections(code)
    types = _all(sections, 1, _Reader.function_type)
    imported = _all(sections, 2, _imported)
    functions = _all(sections, 3, _Reader.number)
    memories = _all(sections, 5, _Reader.limits)
    exports = _all(sections, 7, _exported)
    for place, name, kind in imported:
        if place != WASI or name not in IMPORTS:
            raise RuntimeRefusedError("algorithm", "import")
        if _at(types, kind) != IMPORTS[name]:
            raise RuntimeRefusedError("algorithm", "import")
    named = dict(exports)
    if len(named) != len(exports) or len(memories) != 1 or named.get(MEMORY) != (2, 0):
        raise _refused()
    kind, index = named.get(ENTRY, (-1, 0))
    if kind != 0 or _at(types, _at(functions, index - len(imported))) != (b"", b""):
        raise _refused()
    if memories[0][0] * _PAGE_BYTES > MEMORY_BYTES:
        raise RuntimeRefusedError("limits", "memory")
    return code


def _sections(code: bytes) -> dict[int, bytes]:
    """The sections by number; a start function, or a section that the first version does not know, is refused."""
    reader = _Reader(code[8:])
    found: dict[int, bytes] = {}
    place = -1
    while not reader.ended:
        number = reader.byte()
        body = reader.take(reader.number())
        if number == 0:  # for tools: names, producers
            continue
        if number not in _ORDER or _ORDER.index(number) <= place:
            raise _refused()
        place = _ORDER.index(number)
        found[number] = body
    return found


def _all(sections: Mapping[int, bytes], number: int, read: Callable[[_Reader], _T]) -> list[_T]:
    """The items of a section, which holds nothing else."""
    if number not in sections:
        return []
    reader = _Reader(sections[number])
    found = reader.items(lambda: read(reader))
    if not reader.ended:
        raise _refused()
    return found


def _imported(reader: _Reader) -> tuple[str, str, int]:
    """Module, name and type of an imported function; anything else that is imported is refused."""
    place, name = reader.name(), reader.name()
    if reader.byte() != 0:
        raise RuntimeRefusedError("algorithm", "import")
    return place, name, reader.number()


def _exported(reader: _Reader) -> tuple[str, tuple[int, int]]:
    return reader.name(), (reader.byte(), reader.number())


def _at(items: list[_T], index: int) -> _T:
    if not 0 <= index < len(items):
        raise _refused()
    return items[index]


def _refused() -> RuntimeRefusedError:
    return RuntimeRefusedError("algorithm", "module")
