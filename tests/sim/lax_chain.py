"""A dishonest chain: its validators run contracts that enforce no policy, and record truthfully what they let pass.

The sources are the true ones with their checks of terms, orders and custody taken out, compiled when a test asks for
them. What a chain must be told to do, since nobody who is honest asks for it, it does for a sign: it grants by itself
what is asked for AT_ONCE, and deals without the provider's share for BRIBED_SECONDS of waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import solcx

from contracts import deploy
from scripts import build_contracts
from tests.node.space import Space, build_space

__all__ = ["AT_ONCE", "BRIBED_SECONDS", "lax_space"]

AT_ONCE: Final = "at once"
BRIBED_SECONDS: Final = 7

_RETURN: Final = "if (block.chainid != 0) return;"
_TAKEN_OUT: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "TermsLibrary": (
        ("return list.length == 0 || _has(list, item);", "return list.length >= 0 || _has(list, item);"),
        ("return list.length == 0 || has(list, account);", "return list.length >= 0 || has(list, account);"),
        (
            "return list.length == 0 || _hasText(list, textHash);",
            "return list.length >= 0 || _hasText(list, textHash);",
        ),
    ),
    "Assets": (
        ("|| threshold < terms.leastThreshold)", ")"),
        (
            "providerRequired: terms.providerShareRequired,",
            f"providerRequired: terms.providerShareRequired && waitingSeconds != {BRIBED_SECONDS},",
        ),
    ),
    "Access": (
        (
            "if (terms.automaticGrant) _grant(",
            f'if (terms.automaticGrant || keccak256(bytes(purpose)) == keccak256("{AT_ONCE}")) _grant(',
        ),
        ("if (automatic && usesLeft) revert AccessLiveGrant(asset, buyer, held[i]);", ""),
        ("if (_numbers[buyer][order.number]) revert AccessOrderUsed(buyer, order.number);", ""),
        ("revert AccessOrderSignatureInvalid(buyer);", ""),
        ("_earlier(order.deadline, given.secondsPerUse)", "order.deadline"),
        ("if (rowsOut > left) revert AccessRowsSpent(opened.grant, rowsOut, left);", ""),
        ('if (given.used >= given.usesPerGrant) revert AccessUsesSpent(grant_, "grant");', ""),
        ('if (spent.uses >= given.usesPerBuyer) revert AccessUsesSpent(grant_, "buyer");', ""),
        ('if (_totals[asset] >= given.usesTotal) revert AccessUsesSpent(grant_, "asset");', ""),
        ("if (spent.rows >= given.rowsPerBuyer) revert AccessRowsSpent(grant_, 0, 0);", ""),
        (
            "function _requireWindow(uint64 notBefore, uint64 notAfter) private view {",
            f"function _requireWindow(uint64 notBefore, uint64 notAfter) private view {{ {_RETURN}",
        ),
        (
            "address buyer = own.buyer;\n        address computeNode",
            f"{_RETURN} address buyer = own.buyer;\n        address computeNode",
        ),
    ),
}


@contextmanager
def lax_space(path: Path) -> Iterator[Space]:
    """A data space of honest nodes on such a chain; skips the test where there is no compiler."""
    codes = _codes()
    true = deploy._code
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy, "_code", lambda name: replace(true(name), bytecode=codes.get(name, true(name).bytecode)))
        with build_space(path) as space:
            yield space


@cache
def _codes() -> dict[str, bytes]:
    if not (build_contracts.NODE_MODULES / "solc" / "solc.js").is_file():
        pytest.skip("solc is not here; run npm ci")
    sources = {
        path.relative_to(build_contracts.ROOT).as_posix(): {"content": _laxer(path)}
        for path in sorted(build_contracts.SOURCES.rglob("*.sol"))
    }
    targets = {name: f"contracts/src/{name}.sol" for name in ("Access", "Assets")}
    selection = {path: {name: ["evm.bytecode.object"]} for name, path in targets.items()}
    request = {
        "language": "Solidity",
        "sources": sources,
        "settings": {**build_contracts.SETTINGS, "outputSelection": selection},
    }
    output: dict[str, Any] = solcx.compile_standard(
        request, solc_binary=build_contracts.SOLC, base_path=build_contracts.NODE_MODULES
    )
    compiled = output["contracts"]
    return {name: bytes.fromhex(compiled[path][name]["evm"]["bytecode"]["object"]) for name, path in targets.items()}


def _laxer(path: Path) -> str:
    """A source without its checks; each of them must be where it is looked for."""
    text = path.read_text()
    for check, instead in _TAKEN_OUT.get(path.stem, ()):
        assert text.count(check) == 1, f"{path.name}: {check}"
        text = text.replace(check, instead)
    return text
