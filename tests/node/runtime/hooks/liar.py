"""A runtime that was taken over: `liar BEHAVIOUR PARENT DESCRIPTOR...`."""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from capsule.ids import Address, Digest
from capsule.privacy import Epsilon
from capsule.receipt import SourceVerdict
from node.runtime.protocol import Answered, Broken, Completed, Ready, Refused
from node.runtime.wire import write_message

NOTHING = Digest(bytes(32))
EMPTY = Digest(hashlib.sha256(b"").digest())
REFUSED = Refused(kind="share", reason="wrong", measurement=NOTHING, protected=True)
COMPLETED = Completed(
    sealed_result=b"",
    sealed_result_hash=NOTHING,
    output_hash=NOTHING,
    rows_in=0,
    rows_out=0,
    answered=(),
    source=SourceVerdict("declared"),
    measurement=NOTHING,
    protected=True,
)


def say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def spending(epsilon: str) -> Completed:
    answered = (Answered(groups=1, epsilon=Epsilon.parse(epsilon)),)
    return replace(COMPLETED, sealed_result_hash=EMPTY, answered=answered)


def endless() -> None:
    while True:
        say(bytes(65536))


BEHAVIOURS: dict[str, Callable[[], object]] = {
    "silent": lambda: None,
    "mute": lambda: time.sleep(60),
    "babble": lambda: say(b"\xff" * 100),
    "endless": endless,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "aborted": os.abort,
    "processor": lambda: os.kill(os.getpid(), signal.SIGXCPU),
    "stranger": lambda: say(
        write_message(replace(REFUSED, holder=Address(b"stolen data in here!"), index=1, capsule=0))
    ),
    "other holder": lambda: say(write_message(replace(REFUSED, holder=Address(b"\x11" * 20), index=2, capsule=0))),
    "index alone": lambda: say(write_message(replace(REFUSED, index=123456))),
    "far capsule": lambda: say(write_message(replace(REFUSED, capsule=99))),
    "reason": lambda: say(write_message(REFUSED).replace(b'"wrong"', b'"stole"')),
    "wrong hash": lambda: say(write_message(COMPLETED)),
    "no epsilon": lambda: say(
        write_message(replace(COMPLETED, sealed_result_hash=EMPTY, answered=(Answered(groups=1),)))
    ),
    "other epsilon": lambda: say(
        write_message(
            replace(COMPLETED, sealed_result_hash=EMPTY, answered=(Answered(groups=1, epsilon=Epsilon.parse("0.1")),))
        )
    ),
    "other measurement": lambda: say(write_message(replace(REFUSED, measurement=Digest(b"\x01" * 32)))),
    "unprotected": lambda: say(write_message(replace(REFUSED, protected=False))),
    "afterthought": lambda: say(write_message(REFUSED) + b"and the data"),
    "broken": lambda: say(write_message(Broken(where="node/runtime/engine.py:1 KeyError"))),
    "ready twice": lambda: say(write_message(Ready(NOTHING, ()))),
}

if sys.argv[1] == "late":
    time.sleep(60)
if sys.argv[1] == "outcome first":
    say(write_message(REFUSED))
elif sys.argv[1] == "broken first":
    say(write_message(Broken(where="capsule/key.py:1 KeyError")))
elif sys.argv[1] != "gone":
    say(write_message(Ready(NOTHING, ())))
    BEHAVIOURS[sys.argv[1]]()
