"""dataspace demo: the whole main job on the embedded chain, honest or attacked."""

from pathlib import Path
from typing import Annotated

import typer

from capsule.signature import ED25519
from node.errors import InputRefusedError
from scripts.cli.console import HomeOption, JsonOption, show, told
from scripts.cli.exits import EXIT_FINDINGS
from scripts.cli.printing import tabulate
from scripts.demo.run import ATTACKS, run_attack, run_trip
from scripts.demo.telling import Teller

__all__ = ["demo"]


def demo(
    readings: Annotated[
        Path | None, typer.Option(help="CSV: first column time, others numeric. Without it, a simulated station.")
    ] = None,
    attack: Annotated[str, typer.Option(help="One dishonest party, by the attack's name; 'all' for every one.")] = "",
    suite: Annotated[
        int, typer.Option(min=1, max=2, help="What all organisations and the device sign under: 1 Ed25519, 2 SM2.")
    ] = ED25519,
    home: HomeOption = Path(".dataspace"),
    as_json: JsonOption = False,
) -> None:
    """Take the main job's eight steps on the embedded chain. Exit status 1 for findings, or an attack unseen."""
    with told():
        teller = Teller(shows=not as_json)
        if attack == "all":
            ok = _all(home, readings, suite, as_json)
        elif attack:
            if attack not in ATTACKS:
                raise InputRefusedError(f"there is no attack '{attack}'; choose of {', '.join(ATTACKS)}, or all")
            outcome = run_attack(ATTACKS[attack], home, readings, teller, suite)
            ok = outcome.ok
            show(
                outcome.content,
                as_json,
                lambda: teller.say("caught 已识破" if ok else f"UNSEEN 未识破: {outcome.content['unseen']}"),
            )
        else:
            outcome = run_trip(home, readings, teller, suite)
            ok = outcome.ok
            show(outcome.content, as_json, lambda: teller.say("\nok 完成" if ok else "\nfindings 有发现"))
    if not ok:
        raise typer.Exit(EXIT_FINDINGS)


def _all(home: Path, readings: Path | None, suite: int, as_json: bool) -> bool:
    """Every attack in a world of its own; a table at the end."""
    results, rows = [], []
    for attack in ATTACKS.values():
        outcome = run_attack(attack, home, readings, Teller(shows=False), suite)
        content = outcome.content
        results.append(content)
        rows.append((attack.name, attack.group, attack.english, attack.chinese, _caught(content)))
    columns = ("attack", "group", "what", "攻击", "caught 结果")
    ok = all(content["ok"] for content in results)
    show({"ok": ok, "attacks": results}, as_json, lambda: tabulate(columns, rows, "attacks 攻击"))
    return ok


def _caught(content: dict[str, object]) -> str:
    match content:
        case {"stopped_at": {"step": step, "who": who, "reason": reason}}:
            return f"stopped at step {step} by {who}: {reason}"
        case {"finding": {"rule": rule, "subject": subject}}:
            return f"found: {rule}, {subject}"
        case _:
            return f"UNSEEN: {content.get('unseen')}"
