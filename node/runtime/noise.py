"""Noise for private answers. All of it comes from OpenDP: its samplers, its secure randomness, its privacy maps.

Only integers get noise (discrete Laplace), so that what OpenDP proves of its sampler is what happens: no sum of doubles
whose order one row could change, no gaps in the doubles that noise would show. OpenDP's own map has to confirm each
bound before anything is drawn.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from capsule.algorithm import Algorithm, ColumnType
from capsule.privacy import Epsilon, Privacy
from node.errors import GuardError, RuntimeRefusedError
from node.runtime.engine import Answer, Cell

__all__ = ["Noise", "add_noise"]

_INTEGER: Final = "i64"
# noise is added to values that are away from the ends of 64 bits; cutting a sum off moves it by no more than a row does
_MOST: Final = 2**62


class Noise:
    """OpenDP, loaded and used once: confined processes open no files, and it loads parts of itself when first called.

    `contrib` takes OpenDP's constructors whose proofs its own process has not vetted in full; `honest-but-curious` and
    `floating-point` are not asked for.
    """

    def __init__(self, loader: Callable[[str], ModuleType] = importlib.import_module) -> None:
        self._opendp: Any = loader("opendp.prelude")
        self._opendp.enable_features("contrib")
        self.around([0], 1, Epsilon(1_000_000))
        self.past_threshold({"": 0}, Epsilon(1_000_000), 1e-9)

    def around(self, values: Sequence[int], sensitivity: int, epsilon: Epsilon) -> list[int]:
        """Values with noise, where one row changes all of them together by at most `sensitivity` (at least 1)."""
        dp = self._opendp
        domain, metric = dp.vector_domain(dp.atom_domain(T=_INTEGER)), dp.l1_distance(T=_INTEGER)
        measurement = dp.m.make_laplace(domain, metric, scale=_scale(sensitivity, epsilon))
        _confirm(measurement.map(sensitivity), epsilon)
        return list(measurement([max(-_MOST, min(value, _MOST)) for value in values]))

    def past_threshold(self, counts: Mapping[str, int], epsilon: Epsilon, delta: float) -> dict[str, int]:
        """The counts whose value with noise is past a threshold, by group, where one row is in at most one group.

        A group of one row is let out with a probability of at most `delta`.
        """
        dp = self._opendp
        domain = dp.map_domain(dp.atom_domain(T=str), dp.atom_domain(T=_INTEGER))
        metric = dp.l01inf_distance(dp.absolute_distance(T=_INTEGER))
        scale = _scale(1, epsilon)
        # the tail of the noise, and OpenDP's word for it
        threshold = 1 + math.ceil(scale * math.log(1 / delta))
        measurement = dp.m.make_laplace_threshold(domain, metric, scale=scale, threshold=threshold)
        spent, missed = measurement.map((1, 1, 1))
        _confirm(spent, epsilon)
        if missed > delta:
            raise RuntimeRefusedError("algorithm", "privacy")
        return dict(measurement(dict(counts)))


def _scale(sensitivity: int, epsilon: Epsilon) -> float:
    """A few bits more than the quotient, so that OpenDP's bound, rounded up as well, stays within epsilon."""
    return sensitivity * 1_000_000 / epsilon.millionths * (1 + 2**-49)


def _confirm(spent: float, epsilon: Epsilon) -> None:
    if spent > epsilon.millionths / 1_000_000:
        raise RuntimeRefusedError("algorithm", "privacy")


def add_noise(exact: Answer, algorithm: Algorithm, privacy: Privacy, noise: Noise, min_group: int) -> Answer:
    """The private answer: what the manifest's count and sums are, with noise, for its listed groups, or for those past
    the threshold.

    Of these, groups whose count with noise is below `min_group` are left out. A refusal because of the exact sizes
    would itself tell of a row. Raises GuardError ("schema") for keys of other types than the manifest's.
    """
    names = [column.name for column in algorithm.output]
    keys = [names.index(column.name) for column in algorithm.key_columns]
    if any(exact.columns[place][1] is not algorithm.output[place].type for place in keys):
        raise GuardError("schema")
    found = {_token([row[place] for place in keys]): row for row in exact.rows}
    # two groups for one key would be one row's power over the other group
    if len(found) != len(exact.rows):
        raise GuardError("schema")
    groups: dict[str, Sequence[Cell]]
    columns: dict[str, list[int]] = {}
    counts = {token: _whole(row, names, privacy.count) for token, row in found.items()}
    if privacy.delta is not None:
        past = noise.past_threshold(counts, privacy.share, privacy.delta)
        groups = {token: [found[token][place] for place in keys] for token in past}
        groups = dict(sorted(groups.items(), key=lambda item: [(cell is None, cell) for cell in item[1]]))
        columns[str(privacy.count)] = [past[token] for token in groups]
    else:
        groups = {_token(key): key for key in privacy.keys or ((),)}
        if privacy.count is not None:
            columns[privacy.count] = noise.around([counts.get(token, 0) for token in groups], 1, privacy.share)
    for each in privacy.sums:
        sums = [_whole(found.get(token), names, each.name) for token in groups]
        columns[each.name] = noise.around(sums, each.sensitivity, privacy.share)
    rows = []
    for at, key in enumerate(groups.values()):
        cells: dict[str, Cell] = {names[place]: cell for place, cell in zip(keys, key, strict=True)}
        cells |= {name: values[at] for name, values in columns.items()}
        for each in privacy.sums:
            if algorithm.output[names.index(each.name)].type is ColumnType.NUMBER:
                cells[each.name] = columns[each.name][at] / each.scale
        if privacy.count is None or columns[privacy.count][at] >= min_group or min_group == 1:
            rows.append(tuple(cells[name] for name in names))
    return Answer(tuple((column.name, column.type) for column in algorithm.output), tuple(rows))


def _token(key: Sequence[object]) -> str:
    """A group's key as text, one for each key of one type: True is not 1."""
    return json.dumps([[type(cell).__name__, str(cell)] for cell in key])


def _whole(row: Sequence[Cell] | None, names: Sequence[str], name: str | None) -> int:
    """A count or a sum of integers; of no rows it is 0."""
    cell = None if row is None or name is None else row[names.index(name)]
    return cell if isinstance(cell, int) else 0
