"""What a runtime is made of, as one digest: its code, its libraries, its interpreter, its cipher provider and SM2
library, its confinement.

Deterministic: one installation and choice of ciphers give one measurement, wherever it stands and whenever it is asked.
The compute node names it when it opens a use, the runtime again in its outcome. Both are the compute node's word: level
`software`.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from capsule.canonical import Json
from capsule.crypto import sm2
from capsule.crypto.provider import provider
from capsule.digest import document_digest
from capsule.ids import Digest
from node.errors import RuntimeFailedError
from node.runtime import confine, engine, module

__all__ = ["DEPENDENCIES", "Measurement", "measure"]

DEPENDENCIES: Final = (
    "cbor2",
    "cffi",
    "cryptography",
    "duckdb",
    "eth-utils",
    "landlock",
    "opendp",
    "orjson",
    "pyarrow",
    "pycryptodome",
    "pyroaring",
    "PyNaCl",
    "pyseccomp",
    "rfc8785",
    "sqlglot",
    "wasmtime",
)

_ROOT: Final = Path(__file__).parents[2]
_CODE: Final = ("capsule", "node/runtime")
_FILES: Final = ("node/__init__.py", "node/errors.py")


@dataclass(frozen=True, slots=True)
class Measurement:
    """The document, for who wants to know what changed, and its digest."""

    document: Json
    digest: Digest


def measure(*, allow_unprotected: bool, root: Path = _ROOT) -> Measurement:
    """Measures the runtime under `root`. A node that may run it unprotected has another measurement than others.

    Raises RuntimeFailedError when a part can't be found.
    """
    try:
        paths = [path for folder in _CODE for path in (root / folder).rglob("*.py")]
        paths += [root / name for name in _FILES]
        files: dict[str, Json] = {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)
        }
        dependencies: dict[str, Json] = {name: metadata.version(name) for name in DEPENDENCIES}
    except (OSError, metadata.PackageNotFoundError) as exc:
        raise RuntimeFailedError(f"the runtime can't be measured ({type(exc).__name__}); install it again") from exc
    cipher, signatures = provider(), sm2.library()
    document: dict[str, Json] = {
        "kind": "dataspace/measurement",
        "version": 1,
        "files": files,
        "dependencies": dependencies,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cipher": f"{cipher.name} {cipher.version}",
        "sm2": f"{signatures.name} {signatures.version}",
        "machine": platform.machine(),
        "confinement": dict(confine.CONFIGURATION),
        "engine": dict(engine.CONFIGURATION),
        "wasm": dict(module.CONFIGURATION),
        "allow_unprotected": allow_unprotected,
    }
    return Measurement(document, document_digest("measurement", document))
