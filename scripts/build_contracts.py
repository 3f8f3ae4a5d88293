"""Compiles the Solidity sources and writes what running needs: `contracts/abi/*.json` and the Python bindings.

`python -m scripts.build_contracts` writes; with `--check` it rebuilds in memory, names each file that differs from the
committed one and exits with 1. The output depends on the sources, the pinned compiler and these settings, on nothing
else: no paths, no times, keys sorted. It needs Node and `npm ci`; running the data space does not.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import solcx
from solcx.exceptions import SolcError
from solcx.wrapper import get_version_str_from_solc_binary

from contracts.generate import generate

__all__ = ["CONTRACTS", "PROBES", "BuildError", "build_abi", "build_bindings", "build_probes", "main"]

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS_DIR = ROOT / "contracts"
SOURCES = CONTRACTS_DIR / "src"
ABI_DIR = CONTRACTS_DIR / "abi"
# contracts that tests deploy, so that tests need no compiler either
PROBES_DIR = ROOT / "tests" / "contracts" / "solidity" / "probes"
SOLC = CONTRACTS_DIR / "solc"
NODE_MODULES = ROOT / "node_modules"

SOLC_VERSION = "0.8.37"
CONTRACTS = ("Access", "Assets", "Devices", "Directory", "OperationLog", "Participants")
PROBES = ("Libraries", "Wallet")
SETTINGS = {
    "evmVersion": "cancun",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "optimizer": {"enabled": True, "runs": 200},
    "viaIR": True,
}
_TARGETS = {
    **{name: f"contracts/src/{name}.sol" for name in CONTRACTS},
    **{name: f"tests/contracts/solidity/probes/{name}.sol" for name in PROBES},
}
# EIP-170
CODE_SIZE_LIMIT = 24_576


class BuildError(Exception):
    """The contracts can't be built; the message says what to do."""


Compiled = tuple[str, dict[str, Any]]


def compile_sources() -> Compiled:
    """Compiler version, and solc's output per source file and contract. Raises BuildError."""
    if not (NODE_MODULES / "solc" / "solc.js").is_file():
        raise BuildError("node_modules/solc is missing: run `npm ci` first")
    version: str = get_version_str_from_solc_binary(SOLC)
    if version.split("+", maxsplit=1)[0] != SOLC_VERSION:
        raise BuildError(f"solc {version} is installed, {SOLC_VERSION} is pinned: run `npm ci`")
    paths = [*SOURCES.rglob("*.sol"), *PROBES_DIR.glob("*.sol")]
    sources = {path.relative_to(ROOT).as_posix(): {"content": path.read_text()} for path in paths}
    wanted = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    selection = {path: {name: wanted} for name, path in _TARGETS.items()}
    request = {
        "language": "Solidity",
        "sources": dict(sorted(sources.items())),
        "settings": {**SETTINGS, "outputSelection": selection},
    }
    try:
        output: dict[str, Any] = solcx.compile_standard(request, solc_binary=SOLC, base_path=NODE_MODULES)
    except SolcError as error:
        raise BuildError(error.message) from error
    ours = [e["formattedMessage"] for e in output.get("errors", ()) if "@openzeppelin/" not in e["formattedMessage"]]
    if ours:
        raise BuildError("the sources compile with warnings:\n" + "\n".join(ours))
    return version, output["contracts"]


def build_abi(compiled: Compiled) -> dict[Path, str]:
    """File contents of `contracts/abi`, by path. Raises BuildError for a contract that is too big to deploy."""
    return {ABI_DIR / f"{name}.json": _document(compiled, name) for name in CONTRACTS}


def build_probes(compiled: Compiled) -> dict[Path, str]:
    """File contents of the tests' own contracts, by path."""
    return {PROBES_DIR / f"{name}.json": _document(compiled, name) for name in PROBES}


def build_bindings(abi: dict[Path, str]) -> dict[Path, str]:
    """File contents of the Python bindings of `abi`, by path."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in abi.items():
            (Path(folder) / path.name).write_text(text)
        return generate(Path(folder), CONTRACTS_DIR)


def _document(compiled: Compiled, name: str) -> str:
    version, contracts = compiled
    contract = contracts[_TARGETS[name]][name]
    size = len(contract["evm"]["deployedBytecode"]["object"]) // 2
    if size > CODE_SIZE_LIMIT:
        raise BuildError(f"{name} has {size} bytes of code, the limit is {CODE_SIZE_LIMIT}")
    document = {
        "contract": name,
        "compiler": {"version": version, "settings": SETTINGS},
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.build_contracts", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming each file that differs")
    check: bool = parser.parse_args(arguments).check
    try:
        compiled = compile_sources()
        abi = build_abi(compiled)
        built = abi | build_probes(compiled)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    built |= build_bindings(abi)
    changed = [path for path, text in built.items() if not path.is_file() or path.read_text() != text]
    for path in changed:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(built[path])
        sys.stdout.write(f"{path.relative_to(ROOT)} {'differs' if check else 'written'}\n")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
