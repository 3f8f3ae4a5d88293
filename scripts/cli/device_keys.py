"""A device's own keys over time: the next one waits in its home until the owner has put it on chain.

Invariant: the key that signs is one that the final chain had as the device's; so a device stopped at any moment signs
on with a key that counts. Frames signed before the change keep their signature, and need the rotation's overlap.
"""

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

from capsule.ids import DeviceId
from capsule.signature import Signer
from contracts.ledger import Ledger
from node.errors import InputRefusedError, KeystoreError
from node.keystore import KeyPair, Keystore, NextKeys
from scripts.cli.console import HomeOption, JsonOption, PassphraseFileOption, passphrase, show, told
from scripts.cli.printing import note
from scripts.composition import open_home

__all__ = ["DEVICE_FILE", "add_key_commands", "device_at", "serving_signer"]

DEVICE_FILE = "device.json"


def add_key_commands(app: typer.Typer) -> None:
    """Adds the command to the group `device`."""
    app.command("next-key")(next_key)


def next_key(
    suite: Annotated[
        int | None, typer.Option(min=1, max=2, help="Of the new key: 1 is Ed25519, 2 is SM2; else as the present one.")
    ] = None,
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the device's next key, for its owner's 'device rotate'; it signs once that is on the final chain.

    The same command again shows the key that waits.
    """
    with told(), open_home(home, passphrase(passphrase_file)) as opened:
        device, keystore = device_at(home), opened.keystore
        waiting = keystore.next
        if waiting is None:
            # A device announces nothing itself: no transaction, and no time of a theft, which its owner states.
            keys = KeyPair.draw(suite or keystore.signer.suite, secrets.token_bytes)
            waiting = NextKeys(keys, b"", 0)
            keystore.prepare(waiting)
        elif suite not in (None, waiting.keys.suite):
            raise InputRefusedError(f"a key of suite {waiting.keys.suite} waits already; let the owner enrol that one")
        signer = waiting.keys.signer(secrets.token_bytes)
        show({"device": str(device), "suite": signer.suite, "public_key": signer.public_key.hex()}, as_json)


def serving_signer(keystore: Keystore, ledger: Ledger, device: DeviceId) -> Signer:
    """What signs the device's frames: its next key from the moment that the final chain has it. Raises LedgerError."""
    if keystore.next is not None:
        following = keystore.next.keys.signer(secrets.token_bytes)
        final = ledger.final_block()
        enrolled = ledger.devices.device_of(device, at=final.number)
        if (enrolled.suite, enrolled.public_key) == (following.suite, following.public_key):
            keystore.promote(final.timestamp)
            keystore.settle()
            keystore.forget(final.timestamp)  # nothing was ever sealed to a device's box key
            note(f"device {device} signs with its new key from now on")
    return keystore.signer


def device_at(home: Path) -> DeviceId:
    """The device of a home. Raises KeystoreError."""
    try:
        return DeviceId.parse(json.loads((home / DEVICE_FILE).read_text(encoding="utf-8"))["device"])
    except (OSError, ValueError, KeyError) as error:
        raise KeystoreError(f"{home} is no device's home; make one with 'dataspace device init'") from error
