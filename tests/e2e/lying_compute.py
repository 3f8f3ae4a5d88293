"""`dataspace` with a compute node that gives buyers another result than the algorithm's, under a receipt that fits."""

from __future__ import annotations

from node import organisation
from scripts.demo.attacks.results import Liar
from scripts.main import main

if __name__ == "__main__":
    organisation.Compute = Liar  # type: ignore[misc]
    main()
