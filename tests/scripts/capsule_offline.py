"""An organisation's home, its boxes and its capsule files, driven by `dataspace capsule` in this process."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from typer.main import get_command

from capsule.canonical import encode
from capsule.deal import Deal
from capsule.ids import Address, AssetId
from capsule.policy.offer import offer
from capsule.share import SealedShare, open_share, seal_share
from node.keystore import Keystore, create_keystore
from node.settings import Settings, render_settings
from scripts.main import build_app
from tests.capsule.samples import account, box_of, entropy_of

PASSPHRASE = "a passphrase of tests"
ASSET = AssetId((0xA5).to_bytes(32, "big"))
DIRECTORY = Address((0xD1).to_bytes(20, "big"))
ACCESS = account(0xAC)
CHAIN_ID = 1337


class Said(NamedTuple):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass
class Desk:
    """A home and a folder to work in."""

    home: Path
    keystore: Keystore
    command: Any = field(default_factory=lambda: get_command(build_app("capsule")))

    @classmethod
    def at(cls, home: Path, seed: int = 7) -> Desk:
        home.mkdir(exist_ok=True)
        home.joinpath("dataspace.toml").write_text(render_settings(Settings(chain_id=CHAIN_ID, directory=DIRECTORY)))
        return cls(home, create_keystore(home / "keystore.json", PASSPHRASE, entropy_of(seed)))

    @property
    def provider(self) -> Address:
        return self.keystore.account.address

    @property
    def environment(self) -> dict[str, str]:
        return {"DATASPACE_HOME": str(self.home), "DATASPACE_PASSPHRASE": PASSPHRASE}

    def called(self, *words: object) -> Said:
        """As `scripts.main` does it, without building the command line anew for each call."""
        stdout, stderr = io.StringIO(), io.StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr), patch.dict(os.environ, self.environment):
            status = self.command.main(["capsule", *map(str, words)], standalone_mode=False)
        return Said(status or 0, stdout.getvalue(), stderr.getvalue())

    def run(self, *words: object, status: int = 0) -> dict[str, Any]:
        result = self.called(*words, "--json")
        assert result.exit_code == status, result
        content: dict[str, Any] = json.loads(result.stdout) if result.stdout else {}
        return content

    def refused(self, *words: object, status: int = 3) -> str:
        """The one sentence of a command that ends with `status`."""
        result = self.called(*words, "--json")
        assert result.exit_code == status, result
        assert result.stdout == ""
        assert len(result.stderr.strip().splitlines()) == 1, result.stderr
        return result.stderr

    def policy(self, path: Path, **terms: Any) -> Path:
        path.write_bytes(encode(offer(asset=ASSET, provider=self.provider, **terms)))
        return path

    def seal(self, source: Path, policy: Path, *more: object) -> dict[str, Any]:
        """Seals beside `source`, with the key as NAME.key."""
        return self.run("seal", source, "--policy", policy, "--asset", ASSET,
                        "--key-out", source.with_suffix(".key"), *more)  # fmt: skip

    def custodians(self, *numbers: int) -> list[object]:
        return [word for each in numbers for word in ("--custodian", f"{account(each)}={box_of(each).public.hex()}")]

    def gathered(self, folder: Path, *indexes: int) -> list[object]:
        """Shares of a dealt folder, sealed by their holders to this home anew, as words of a command."""
        deal = Deal.from_json(json.loads((folder / "deal.json").read_bytes()))
        words: list[object] = ["--deal", folder / "deal.json"]
        for index in indexes:
            path = folder / f"share-{index}.json"
            if index:
                number = int.from_bytes(deal.holders[index].account, "big")
                sealed = SealedShare.from_json(json.loads(path.read_bytes()))
                secret = open_share(sealed, deal, box_of(number))
                path = folder.parent / f"{folder.name}-gathered-{index}.json"
                path.write_bytes(encode(seal_share(secret, deal, self.keystore.box.public).to_json()))
            words += ["--share", path]
        return words


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
