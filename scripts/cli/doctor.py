"""dataspace doctor: what this machine has, and what it lacks."""

import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from capsule.crypto import sm2
from capsule.crypto.cipher import KEY_SIZE, NONCE_SIZE, TAG_SIZE, Cipher
from capsule.crypto.provider import PROVIDERS, load, provider
from capsule.crypto.sm2_library import Sm2Library
from capsule.errors import CipherUnavailableError
from contracts.errors import LedgerError
from node.errors import RuntimeFailedError
from node.runtime.launch import probe
from scripts.cli.console import HomeOption, JsonOption, show, told
from scripts.composition import open_chain, read_settings
from scripts.hardening import harden

__all__ = ["doctor"]

PACKAGES = ("urllib3", "eth-tester", "py-evm", "cryptography", "PyNaCl", "duckdb", "pyarrow", "fastapi", "sqlmodel")
SAMPLE_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024


def doctor(home: HomeOption = Path(".dataspace"), as_json: JsonOption = False) -> None:
    """Versions, cipher provider and its speed, SM2 library, confinement of the runtime, protection of keys in memory,
    chain, and what is missing.
    """
    with told():
        cipher, signatures = provider(), sm2.library()
        missing = [
            f"{name}: {what}"
            for name, what in (("node", "needed to compile contracts"), ("npm", "needed for contract tests"))
            if shutil.which(name) is None
        ]
        content: dict[str, Any] = {
            "dataspace": metadata.version("dataspace"),
            "python": sys.version.split()[0],
            "system": platform.platform(),
            "packages": {name: metadata.version(name) for name in PACKAGES},
            "cipher_provider": f"{cipher.name} {cipher.version}",
            "sm4_gcm_mb_s": round(_speed(cipher), 1),
            "cipher_providers": {name: _condition(load, name) for name in PROVIDERS},
            "sm2_library": f"{signatures.name} {signatures.version}",
            "sm2_libraries": {name: _condition(sm2.load, name) for name in sm2.LIBRARIES},
            "runtime_protection": _protection(),
            "key_protection": asdict(harden()),
            "chain": _chain(home),
            "missing": missing,
        }
        show(content, as_json)


def _speed(cipher: Cipher) -> float:
    """SM4-GCM in memory on one core, MB/s; chunk after chunk in one buffer, as capsules are sealed."""
    buffer = memoryview(bytearray(CHUNK_BYTES + TAG_SIZE))
    start = time.perf_counter()
    for _ in range(SAMPLE_BYTES // CHUNK_BYTES):
        cipher.sm4_gcm_seal_into(bytes(KEY_SIZE), bytes(NONCE_SIZE), b"", buffer[:-TAG_SIZE], buffer)
    return SAMPLE_BYTES / 1e6 / (time.perf_counter() - start)


def _condition(tested: Callable[[str], Cipher | Sm2Library], name: str) -> str:
    """A library's version, or why it can't be used here."""
    try:
        return tested(name).version
    except CipherUnavailableError as error:
        return f"not usable: {error}"


def _protection() -> str:
    try:
        lacking = probe().missing
    except RuntimeFailedError as error:
        return f"unknown: {error}"
    return "full" if not lacking else f"lacks {', '.join(lacking)}"


def _chain(home: Path) -> str:
    settings = read_settings(home)
    if not settings.chain_urls:
        return "embedded" if (home / "chain").is_dir() else "none yet"
    try:
        with open_chain(settings, home) as chain:
            head = chain.head()
            return f"chain {chain.chain_id()}, block {head.number}, {chain.verification}"
    except LedgerError as error:
        return f"unreachable: {error}"
