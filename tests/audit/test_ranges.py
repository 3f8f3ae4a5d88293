"""Ranges that suit whoever answers: they grow, are cut, are asked for again, and come in order."""

from __future__ import annotations

import random
import threading

import pytest

from audit.errors import RequestError
from audit.ranges import Pace, Ranges
from contracts.errors import ChainIntegrityError, ChainSlowError, ChainTooMuchError, ChainUnreachableError

Blocks = tuple[int, int]


class Endpoint:
    """Answers with the range itself; refuses more than `most` blocks, and fails as often as `failures` say."""

    def __init__(self, most: int = 10_000, failures: tuple[Exception, ...] = ()) -> None:
        self.most = most
        self.failures = list(failures)
        self.asked: list[Blocks] = []
        self._turn = threading.Lock()

    def __call__(self, first: int, last: int) -> Blocks:
        with self._turn:
            self.asked.append((first, last))
            if self.failures:
                raise self.failures.pop(0)
        if last - first >= self.most:
            raise ChainTooMuchError("query returned more than 10000 results")
        return first, last


def logs_of(per_block: int) -> object:
    return lambda answer: (answer[1] - answer[0] + 1) * per_block


def ranges(endpoint: Endpoint, pace: Pace, workers: int = 2, per_block: int = 0) -> tuple[Ranges[Blocks], list[float]]:
    waits: list[float] = []
    made = Ranges(
        endpoint,
        logs_of(per_block),  # type: ignore[arg-type]
        pace,
        workers,
        monotonic=lambda: 0.0,
        sleep=waits.append,
    )
    return made, waits


def covered(answers: list[Blocks]) -> list[int]:
    return [number for first, last in answers for number in range(first, last + 1)]


@pytest.mark.parametrize("seed", range(10))
def test_every_block_is_answered_once_and_in_order(seed: int) -> None:
    chance = random.Random(seed)
    endpoint = Endpoint(chance.randint(1, 40))
    made, _ = ranges(endpoint, Pace(chance.randint(1, 50), chance.randint(50, 100)), chance.randint(1, 5))

    assert covered(list(made.over(3, 300))) == list(range(3, 301))


def test_range_grows_while_answers_are_small_and_stops_at_the_most() -> None:
    made, _ = ranges(Endpoint(), Pace(1, 32), workers=1)

    sizes = [last - first + 1 for first, last in made.over(0, 200)]

    assert sizes[:6] == [1, 2, 4, 8, 16, 32]
    assert max(sizes) == 32


def test_range_settles_where_answers_have_the_size_aimed_at() -> None:
    made, _ = ranges(Endpoint(), Pace(64, 1_000, logs=500), per_block=100)

    list(made.over(0, 2_000))

    assert made.pace.blocks == 5


def test_slow_answers_make_ranges_shorter() -> None:
    assert Pace(64, 1_000).after(64, 0, 10.0).blocks == 32
    assert Pace(64, 1_000).after(64, 0, 1.5).blocks == 64
    assert Pace(1, 1_000).after(1, 0, 10.0).blocks == 1


def test_refused_range_is_cut_until_it_fits() -> None:
    endpoint = Endpoint(most=3)
    made, waits = ranges(endpoint, Pace(64, 64), workers=1)

    assert covered(list(made.over(0, 63))) == list(range(64))
    assert made.pace.blocks <= 4
    assert waits == []


def test_range_grows_slowly_after_a_refusal() -> None:
    refused = Pace(64, 1_000).slower(64)

    assert refused.blocks == 32
    assert refused.after(32, 0, 0.0).blocks == 36


def test_single_block_that_is_refused_is_told() -> None:
    made, _ = ranges(Endpoint(most=0), Pace(8, 8))

    with pytest.raises(ChainTooMuchError):
        list(made.over(0, 7))


def test_outage_is_waited_out_longer_each_time() -> None:
    down = ChainUnreachableError("down")
    made, waits = ranges(Endpoint(failures=(down, down, down)), Pace(64, 64), workers=1)

    assert covered(list(made.over(0, 9))) == list(range(10))
    assert waits == [0.5, 1.0, 2.0]


def test_endpoint_that_stays_down_or_slow_is_told() -> None:
    for error in (ChainUnreachableError("down"), ChainSlowError("slow")):
        endpoint = Endpoint(failures=(error,) * 100)
        made, _ = ranges(endpoint, Pace(64, 64), workers=1)
        with pytest.raises(type(error), match=str(error)):
            list(made.over(0, 63))
        assert len(endpoint.asked) < 12


def test_slow_answer_is_asked_for_in_parts() -> None:
    endpoint = Endpoint(failures=(ChainSlowError("slow"),))
    made, waits = ranges(endpoint, Pace(64, 64), workers=1)

    assert covered(list(made.over(0, 63))) == list(range(64))
    assert endpoint.asked[1] == (0, 31)
    assert waits == []


def test_contradiction_is_passed_on_at_once() -> None:
    endpoint = Endpoint(failures=(ChainIntegrityError("two blocks 5"),))
    made, waits = ranges(endpoint, Pace(8, 8), workers=1)

    with pytest.raises(ChainIntegrityError):
        list(made.over(0, 63))
    assert waits == []


def test_no_more_answers_wait_than_there_are_workers() -> None:
    endpoint = Endpoint()
    made, _ = ranges(endpoint, Pace(1, 1), workers=3)
    answers = made.over(0, 50)

    next(answers)
    answers.close()

    assert len(endpoint.asked) <= 4


def test_ranges_and_workers_start_at_one() -> None:
    for wrong in (lambda: Pace(0), lambda: Pace(1, 0), lambda: ranges(Endpoint(), Pace(), 0)):
        with pytest.raises(RequestError, match="at least one"):
            wrong()
