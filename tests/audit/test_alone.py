"""An auditor runs with `audit`, `contracts` and `capsule` and nothing else of this project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.dataspace import DataSpace

ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys, time
from pathlib import Path

sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path({root!r})]
sys.path.insert(0, {alone!r})
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__name__", "").lower()]

from audit.bundle import bundle
from audit.checkpoints import build_checkpoint
from audit.documents import DirectoryDocuments
from audit.follow import rebuild
from audit.index import Index
from audit.trail import subject
from audit.verdict import check
from audit.verify import verify
from contracts.embedded import EmbeddedChain
from contracts.ledger import Ledger
from capsule.ids import Address

folder = Path({folder!r})
chain = EmbeddedChain.open(folder / "chain", clock=time.time)
ledger = Ledger.connect(chain, Address.parse({directory!r}))
summary = rebuild(ledger, folder / "audit.db")
index = Index.open(folder / "audit.db")
documents = DirectoryDocuments(folder / "documents")
report = verify(index, documents)
build_checkpoint(index)
asset = next(iter(index.state().assets))
verdict = check(bundle(index, subject("asset", str(asset)), documents).content)
foreign = sorted(name for name in sys.modules if name.split(".")[0] in ("node", "gateway", "scripts", "tests"))
ours = [module for name, module in sys.modules.items() if name.split(".")[0] in ("audit", "contracts", "capsule")]
where = {{str(Path(module.__file__).relative_to({alone!r}).parts[0]) for module in ours}}
print(summary.events, len(report.findings), verdict.holds, foreign, sorted(where))
"""


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, DataSpace]:
    """A finished trip on disk, with the documents as files."""
    space = DataSpace(tmp_path / "chain")
    granted = space.grant(space.offer(space.register()))
    (opened,) = space.open(granted)
    space.release(opened, 0, 1, 2, 3)
    space.complete(opened)
    for (kind, key), content in space.documents.items():
        path = tmp_path / "documents" / kind / f"0x{key.hex()}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    space.close()
    return tmp_path, space


def test_audit_runs_with_three_packages_only(whole: tuple[Path, DataSpace], tmp_path: Path) -> None:
    folder, space = whole
    alone = tmp_path / "alone"
    for package in ("audit", "contracts", "capsule"):
        shutil.copytree(ROOT / package, alone / package, ignore=shutil.ignore_patterns("__pycache__"))
    program = PROGRAM.format(
        root=str(ROOT), alone=str(alone), folder=str(folder), directory=str(space.operator.pin.directory)
    )

    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    events, *rest = done.stdout.split(" ", 1)
    assert int(events) > 40
    assert rest == ["0 True [] ['audit', 'capsule', 'contracts']\n"]
