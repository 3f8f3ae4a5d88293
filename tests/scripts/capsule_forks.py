"""A process that lets others of its kind run `dataspace capsule`, again and again, until they are killed.

Reads one JSON list of words a line, in which `{n}` counts from 0; answers with the id of the process that runs them,
and after its end with its status. Everything is imported once, so that a process begins within milliseconds.
"""

import json
import os
import sys
from itertools import count

from typer.main import get_command

from scripts.main import build_app


def run_for_ever(words: list[str]) -> None:
    command = get_command(build_app("capsule"))
    for number in count():
        filled = [word.replace("{n}", str(number)) for word in words]
        if status := command.main(["capsule", *filled], standalone_mode=False):
            os._exit(status)


def main() -> None:
    get_command(build_app("capsule"))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        process = os.fork()
        if not process:
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                run_for_ever(json.loads(line))
            finally:
                os._exit(1)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
