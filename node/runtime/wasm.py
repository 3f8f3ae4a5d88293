"""wasmtime, for modules that read standard input and write standard output and can do nothing else.

Invariants: the module is compiled to Pulley's byte code and interpreted, so no memory becomes executable and the
process stays shut in; everything it can call is in this file, gives the same answer on every run, and touches only the
module's own memory and two streams. Its exit status, traps, standard error and messages end here: only reason codes
leave. One module, one input and one configuration give one output, whatever machine runs them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import wasmtime

from node.errors import RuntimeRefusedError
from node.runtime.module import CONFIGURATION, ENTRY, IMPORTS, MEMORY, MEMORY_BYTES, WASI

__all__ = ["run_module"]

_LIMITS: Final = {"memory_size": MEMORY_BYTES, "table_elements": 65_536, "instances": 1, "tables": 4, "memories": 1}

# WASI's own error numbers
_DONE: Final = 0
_BAD_DESCRIPTOR: Final = 8
_FAULT: Final = 21
_NO_SEEKING: Final = 70
_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_MAX_VECTORS: Final = 1024
_RIGHT_TO_READ: Final = 1 << 1
_RIGHT_TO_WRITE: Final = 1 << 6


class _ExitError(Exception):
    """The module ended itself. Carried through the engine, never further."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class _FaultError(Exception):
    """The module named bytes that are outside its memory."""


def run_module(code: bytes, parts: Iterable[bytes], *, fuel: int, memory_bytes: int, most_bytes: int) -> bytes:
    """Runs a checked module over its input and returns what it wrote to standard output.

    Raises RuntimeRefusedError: "module" or "failed" of kind "algorithm", "fuel", "memory" or "output" of kind "limits".
    """
    if memory_bytes < MEMORY_BYTES:
        raise RuntimeRefusedError("limits", "memory")
    streams = _Streams(parts, most_bytes)
    with _translated():
        engine = wasmtime.Engine(_configuration())
        try:
            module = wasmtime.Module(engine, code)
        except wasmtime.WasmtimeError:
            raise RuntimeRefusedError("algorithm", "module") from None
        store = wasmtime.Store(engine)
        store.set_fuel(fuel)
        store.set_limits(**_LIMITS)
        linker = wasmtime.Linker(engine)
        for one in module.imports:
            kind, name = one.type, str(one.name)
            if one.module != WASI or name not in IMPORTS or not isinstance(kind, wasmtime.FuncType):
                raise RuntimeRefusedError("algorithm", "import")
            linker.define_func(WASI, name, kind, streams.calls[name], access_caller=True)
        try:
            instance = linker.instantiate(store, module)
        except wasmtime.WasmtimeError:  # there is no room for its memory or its tables
            raise RuntimeRefusedError("limits", "memory") from None
        entry = instance.exports(store)[ENTRY]
        if not isinstance(entry, wasmtime.Func):
            raise RuntimeRefusedError("algorithm", "module")
        try:
            entry(store)
        except _ExitError as ended:
            if ended.status:
                raise RuntimeRefusedError("algorithm", "failed") from None
    return bytes(streams.output)


class _Streams:
    """The functions that a module may import."""

    def __init__(self, parts: Iterable[bytes], most_bytes: int) -> None:
        self.output = bytearray()
        self._most = most_bytes
        self._parts = iter(parts)
        self._part = memoryview(b"")
        self.calls: Mapping[str, Callable[..., int | None]] = {
            "args_get": lambda *_: _DONE,
            "args_sizes_get": _no_texts,
            "environ_get": lambda *_: _DONE,
            "environ_sizes_get": _no_texts,
            "fd_close": lambda _, descriptor: _DONE if descriptor in (_INPUT, _OUTPUT, _ERRORS) else _BAD_DESCRIPTOR,
            "fd_fdstat_get": _status,
            "fd_prestat_dir_name": lambda *_: _BAD_DESCRIPTOR,
            "fd_prestat_get": lambda *_: _BAD_DESCRIPTOR,
            "fd_read": self._read,
            "fd_seek": lambda *_: _NO_SEEKING,
            "fd_write": self._write,
            "proc_exit": _exit,
        }

    def _read(self, caller: Any, descriptor: int, vectors: int, count: int, told: int) -> int:
        """Fills one buffer at most: a short read is a read."""
        if descriptor != _INPUT:
            return _BAD_DESCRIPTOR
        memory = _Memory(caller)
        try:
            for address, size in memory.vectors(vectors, count):
                if not size:
                    continue
                while not self._part:
                    part = next(self._parts, None)
                    if part is None:
                        return memory.put(told, bytes(4))
                    self._part = memoryview(part)
                given, self._part = self._part[:size], self._part[size:]
                memory.put(address, given)
                return memory.put(told, len(given).to_bytes(4, "little"))
            return memory.put(told, bytes(4))
        except _FaultError:
            return _FAULT

    def _write(self, caller: Any, descriptor: int, vectors: int, count: int, told: int) -> int:
        """Standard output is kept up to its limit; standard error goes nowhere."""
        if descriptor not in (_OUTPUT, _ERRORS):
            return _BAD_DESCRIPTOR
        memory = _Memory(caller)
        try:
            written = 0
            for address, size in memory.vectors(vectors, count):
                if descriptor == _OUTPUT:
                    if len(self.output) + size > self._most:
                        raise RuntimeRefusedError("limits", "output")
                    self.output += memory.get(address, size)
                written += size
            return memory.put(told, min(written, 0xFFFFFFFF).to_bytes(4, "little"))
        except _FaultError:
            return _FAULT


class _Memory:
    """The calling module's memory, for the length of one call."""

    def __init__(self, caller: Any) -> None:
        memory = caller[MEMORY]
        self._size = memory.data_len(caller)
        self._base = ctypes.addressof(memory.data_ptr(caller).contents) if self._size else 0

    def get(self, address: int, size: int) -> bytes:
        return ctypes.string_at(self._base + self._within(address, size), size) if size else b""

    def put(self, address: int, data: bytes | memoryview) -> int:
        """Writes, and answers that all went well."""
        if data:
            ctypes.memmove(self._base + self._within(address, len(data)), bytes(data), len(data))
        return _DONE

    def vectors(self, address: int, count: int) -> list[tuple[int, int]]:
        """Address and size of each buffer of a list."""
        count &= 0xFFFFFFFF
        if count > _MAX_VECTORS:
            raise _FaultError
        words = memoryview(self.get(address, 8 * count)).cast("I") if count else []
        return list(zip(words[::2], words[1::2], strict=True))

    def _within(self, address: int, size: int) -> int:
        address &= 0xFFFFFFFF
        if address + size > self._size:
            raise _FaultError
        return address


def _no_texts(caller: Any, count: int, size: int) -> int:
    try:
        memory = _Memory(caller)
        memory.put(count, bytes(4))
        return memory.put(size, bytes(4))
    except _FaultError:
        return _FAULT


def _status(caller: Any, descriptor: int, told: int) -> int:
    """A stream that is no terminal, with the one right that it has."""
    if descriptor not in (_INPUT, _OUTPUT, _ERRORS):
        return _BAD_DESCRIPTOR
    right = _RIGHT_TO_READ if descriptor == _INPUT else _RIGHT_TO_WRITE
    try:
        return _Memory(caller).put(told, bytes(8) + right.to_bytes(8, "little") + bytes(8))
    except _FaultError:
        return _FAULT


def _exit(_: Any, status: int) -> None:
    raise _ExitError(status)


def _configuration() -> wasmtime.Config:
    config = wasmtime.Config()
    for name, value in CONFIGURATION.items():
        setattr(config, name, value)
    return config


@contextmanager
def _translated() -> Iterator[None]:
    """The engine's errors as reason codes; their text stays here."""
    try:
        yield
    except wasmtime.Trap as trap:
        if trap.trap_code is wasmtime.TrapCode.OUT_OF_FUEL:
            raise RuntimeRefusedError("limits", "fuel") from None
        raise RuntimeRefusedError("algorithm", "failed") from None
    except MemoryError:
        raise RuntimeRefusedError("limits", "memory") from None
    except wasmtime.WasmtimeError:
        raise RuntimeRefusedError("algorithm", "failed") from None
