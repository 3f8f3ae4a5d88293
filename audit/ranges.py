"""A history of blocks in ranges that suit whoever answers, fetched ahead by several workers and handed on in order.

A range grows while answers are small and quick. One that is refused as too much, or not answered in time, is cut in
two; one that can't be had for other reasons is asked for again, a few times, before the error is passed on. At most
`workers` answers wait, so that memory does not grow with the history.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from audit.errors import RequestError
from contracts.errors import ChainSlowError, ChainTooMuchError, ChainUnreachableError

__all__ = ["Pace", "Ranges"]

_T = TypeVar("_T")
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """How many blocks are asked for at once: `blocks` now, never above `most`.

    Aims at answers of about `logs` logs that take no longer than `seconds`. After a refusal it is `cautious` and grows
    by an eighth at a time, since each refusal costs a question.
    """

    blocks: int = 8
    most: int = 10_000
    logs: int = 5_000
    seconds: float = 2.0
    cautious: bool = False

    def __post_init__(self) -> None:
        if self.most < 1 or self.blocks < 1:
            raise RequestError("a range has at least one block")
        if self.blocks > self.most:
            object.__setattr__(self, "blocks", self.most)

    def after(self, blocks: int, logs: int, seconds: float) -> Pace:
        """The pace after an answer over so many blocks."""
        if seconds > 2 * self.seconds:
            return self.slower(blocks)
        if logs > self.logs:
            return replace(self, blocks=max(1, min(self.blocks, blocks * self.logs // logs)))
        if 2 * logs <= self.logs and 2 * seconds <= self.seconds and blocks >= self.blocks:
            more = max(1, self.blocks // 8) if self.cautious else self.blocks
            return replace(self, blocks=min(self.most, self.blocks + more))
        return self

    def slower(self, blocks: int) -> Pace:
        """The pace after so many blocks were too much."""
        return replace(self, blocks=max(1, min(self.blocks, blocks // 2)), cautious=True)


@dataclass(frozen=True, slots=True)
class _Asked(Generic[_T]):
    first: int
    last: int
    answer: Future[tuple[_T, float]]

    @property
    def blocks(self) -> int:
        return self.last - self.first + 1


class Ranges(Generic[_T]):
    """`ask` answers for blocks first..last, `size` counts the logs in an answer.

    `monotonic` and `sleep` are in seconds; `pause` is the first wait before a range is asked for again.
    """

    def __init__(
        self,
        ask: Callable[[int, int], _T],
        size: Callable[[_T], int],
        pace: Pace,
        workers: int = 2,
        *,
        pause: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if workers < 1:
            raise RequestError("a history is fetched by at least one worker")
        self._ask = ask
        self._size = size
        self._pace = pace
        self._workers = workers
        self._pause = pause
        self._monotonic = monotonic
        self._sleep = sleep
        self._failures = 0

    @property
    def pace(self) -> Pace:
        return self._pace

    def over(self, first: int, last: int) -> Iterator[_T]:
        """The answers over all blocks first..last, in order.

        Raises what `ask` raises; ChainUnreachableError only after several failures without an answer between.
        """
        pool = ThreadPoolExecutor(self._workers, "range")
        asked: deque[_Asked[_T]] = deque()
        try:
            while asked or first <= last:
                while first <= last and len(asked) < self._workers:
                    end = min(last, first + self._pace.blocks - 1)
                    asked.append(self._submit(pool, first, end))
                    first = end + 1
                yield from self._take(pool, asked)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _submit(self, pool: ThreadPoolExecutor, first: int, last: int) -> _Asked[_T]:
        return _Asked(first, last, pool.submit(self._timed, first, last))

    def _timed(self, first: int, last: int) -> tuple[_T, float]:
        begin = self._monotonic()
        answer = self._ask(first, last)
        return answer, self._monotonic() - begin

    def _take(self, pool: ThreadPoolExecutor, asked: deque[_Asked[_T]]) -> Iterator[_T]:
        one = asked.popleft()
        try:
            answer, seconds = one.answer.result()
        except ChainTooMuchError:
            if one.blocks == 1:
                raise
            self._halve(pool, asked, one)
        except ChainUnreachableError as error:
            self._failures += 1
            if self._failures >= _ATTEMPTS:
                raise
            if isinstance(error, ChainSlowError) and one.blocks > 1:
                self._halve(pool, asked, one)
            else:
                self._sleep(self._pause * 2 ** (self._failures - 1))
                asked.appendleft(self._submit(pool, one.first, one.last))
        else:
            self._failures = 0
            self._pace = self._pace.after(one.blocks, self._size(answer), seconds)
            del one  # nobody keeps an answer that is being written
            yield answer

    def _halve(self, pool: ThreadPoolExecutor, asked: deque[_Asked[_T]], one: _Asked[_T]) -> None:
        self._pace = self._pace.slower(one.blocks)
        middle = one.first + one.blocks // 2
        halves = [self._submit(pool, one.first, middle - 1), self._submit(pool, middle, one.last)]
        asked.extendleft(reversed(halves))
