"""dataspace audit reexecute: a regulator's node repeats a use, the audit compares the receipts."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from audit.findings import Finding
from audit.reexecution import Comparison, Outcome, compare, not_reproduced
from capsule.algorithm import Algorithm
from capsule.disclosure import PURPOSE
from capsule.ids import UseId
from capsule.receipt import SignedReceipt
from scripts.cli.console import (
    HomeOption,
    JsonOption,
    NodeClient,
    PassphraseFileOption,
    fail,
    node_client,
    show,
)
from scripts.cli.exits import EXIT_FINDINGS, EXIT_REFUSED, EXIT_UNREACHABLE
from scripts.cli.printing import say, tabulate

__all__ = ["reexecute"]

POLL_SECONDS = 1.0
WAITS_FOR = {
    "requested": "a provider has not answered request {requests}; it grants with 'dataspace access grant'",
    "ordered": "the chain has not opened order {order}",
    "opened": "the holders have not decided on order {order}",
    "ran": "order {order} is not closed on the final chain",
}


def reexecute(
    use: Annotated[str, typer.Argument(help="The completed use to repeat.")],
    disclosure: Annotated[Path, typer.Option(help="The buyer's file for this regulator, from 'use disclose'.")],
    purpose: Annotated[str, typer.Option(help="A declaration that the policy must allow.")] = PURPOSE,
    seconds: Annotated[int, typer.Option(min=1, help="Deadline of the order, from when it is placed.")] = 3600,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for provider and holders.")] = 600.0,
    home: HomeOption = Path(".dataspace"),
    passphrase_file: PassphraseFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat a use of a deterministic algorithm and compare output hashes.

    Exit status 0 when they are equal, 1 with a finding when not, 3 when somebody refused or it can't be repeated,
    4 when somebody has not answered yet: the same command goes on from there.
    """
    with node_client(home, passphrase_file) as node:
        body = {"use": use, "disclosure": disclosure.read_bytes().hex(), "purpose": purpose, "seconds": seconds}
        comparison = _comparison(_repeated(node, body, wait))
        first = UseId.parse(use)
        finding = not_reproduced(comparison, first) if comparison.outcome is Outcome.NOT_REPRODUCED else None
        show(_told(comparison, first, finding), as_json, lambda: _say(comparison, finding))
    if comparison.outcome is Outcome.UNDECIDED:
        raise typer.Exit(EXIT_REFUSED)
    if finding is not None:
        raise typer.Exit(EXIT_FINDINGS)


def _repeated(node: NodeClient, body: dict[str, Any], wait: float) -> dict[str, Any]:
    """Asks the node again and again; ends the command when it takes longer than `wait` seconds."""
    end = time.monotonic() + wait
    answer = node.ask("POST", "/v1/reexecutions", {**body, "afresh": True})
    while not answer["repeated"]:
        if time.monotonic() > end:
            told = {"requests": ", ".join(answer["requests"]), "order": answer["order"]}
            reason = WAITS_FOR.get(answer["state"], "the run is not over").format(**told)
            fail(f"{reason}; run the same command again later", EXIT_UNREACHABLE)
        node.ask("POST", "/v1/work")
        answer = node.ask("POST", "/v1/reexecutions", body)
        if not answer["repeated"]:
            time.sleep(POLL_SECONDS)
    repeated: dict[str, Any] = answer["repeated"]
    return repeated


def _comparison(repeated: dict[str, Any]) -> Comparison:
    """The node verified both signatures before it answered."""
    original, receipt = (SignedReceipt.from_json(repeated[name]).receipt for name in ("original", "receipt"))
    return compare(original, receipt, Algorithm.from_json(repeated["algorithm"]))


def _told(comparison: Comparison, use: UseId, finding: Finding | None) -> dict[str, Any]:
    original, repeated = comparison.original, comparison.repeated
    return {
        "use": str(use),
        "outcome": comparison.outcome.value,
        "differs": list(comparison.fields),
        "compute_node": str(original.compute_node),
        "receipt": str(original.hash),
        "output": str(original.output),
        "measurement": str(original.measurement),
        "reexecution": {
            "use": str(repeated.uses[0]),
            "receipt": str(repeated.hash),
            "output": str(repeated.output),
            "measurement": str(repeated.measurement),
        },
        "findings": [] if finding is None else [finding.to_json()],
    }


def _say(comparison: Comparison, finding: Finding | None) -> None:
    say(f"stated 回执所述:   {comparison.original.output}")
    say(f"repeated 重新执行: {comparison.repeated.output}")
    if finding is not None:
        row = (finding.rule, finding.label, finding.subject, finding.message_en, finding.message_zh)
        tabulate(("rule", "label", "about", "what", "说明"), [row], "1 finding")
    elif comparison.outcome is Outcome.CONFIRMED:
        say("confirmed: the run gives what the receipt says 已确认：重新执行的结果与回执一致")
    else:
        say(
            f"undecided: {', '.join(comparison.fields)} differ, and so do the runtimes; repeat it under the one that "
            "was measured 无法判定：结果不一致，但运行环境也不同；请在同一度量的运行环境中重新执行"
        )
