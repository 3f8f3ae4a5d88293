"""One JSON-RPC endpoint over HTTP: questions in, answers as JSON values out.

Nothing is ever asked twice unseen, since a question may be a send. An answer has a largest size and a longest time: a
hostile endpoint can fill no memory and hold nobody up. URLs may hold keys and are never shown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import orjson
import urllib3
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as TooSlowError
from urllib3.util import make_headers

from capsule.errors import InputError
from contracts.decode import decode_revert
from contracts.errors import (
    ChainRefusedError,
    ChainSlowError,
    ChainTooMuchError,
    ChainUnreachableError,
    RevertedError,
)

__all__ = ["Endpoint"]

_Json = Any
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_BATCH_CALLS: Final = 100
_CONNECTIONS: Final = 8
_WITH_A_REASON: Final = frozenset({200, 400, 413})
_EXECUTION_REVERTED: Final = 3
_LIMIT_EXCEEDED: Final = -32005
# How nodes and providers say that an answer would be too large or take too long; each has its own words.
_TOO_MUCH: Final = (
    *("query returned more than", "limit exceeded", "block range", "range is too", "range too", "too many"),
    *("too large", "too big", "response size", "exceeds max", "exceed max", "query timeout", "timed out"),
)
_LONGEST: Final = 6
"""An answer may take so many times the time-out, as long as it goes on coming."""


class Endpoint:
    """`timeout`: seconds without a sign of life; `most_bytes`: of one answer. Safe to share between threads."""

    def __init__(self, url: str, timeout: float, most_bytes: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("an endpoint is an http or https URL")
        self.name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
        self._timeout = timeout
        self._most_bytes = most_bytes
        self._ids = count()
        self._takes_batches = True
        self._headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            self._headers |= make_headers(basic_auth=f"{parts.username}:{parts.password or ''}")
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit((parts.scheme, host, parts.path, parts.query, ""))
        self._pool = _pool(parts.scheme, parts.hostname, timeout)

    def __repr__(self) -> str:
        return f"RpcChain({self.name})"

    def ask(self, method: str, params: Sequence[object]) -> _Json:
        """The result of one call. Raises RevertedError, ChainRefusedError or ChainUnreachableError."""
        return self._result(method, self._post(method, self._question(method, params)))

    def ask_all(self, method: str, params: Sequence[Sequence[object]]) -> list[_Json]:
        """The results of many calls of one method, in their order, in as few round trips as the node allows."""
        results: list[_Json] = []
        for start in range(0, len(params), _BATCH_CALLS):
            some = params[start : start + _BATCH_CALLS]
            if len(some) > 1 and self._takes_batches:
                results += self._batch(method, some)
            else:
                results += [self.ask(method, one) for one in some]
        return results

    def _batch(self, method: str, params: Sequence[Sequence[object]]) -> list[_Json]:
        questions = [self._question(method, one) for one in params]
        answer = self._post(method, questions)
        if not isinstance(answer, list):
            self._takes_batches = False  # JSON-RPC lets a node refuse them whole
            return [self.ask(method, one) for one in params]
        found = {one.get("id"): one for one in answer if isinstance(one, dict)}
        return [self._result(method, found.get(question["id"])) for question in questions]

    def _question(self, method: str, params: Sequence[object]) -> dict[str, object]:
        return {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._ids)}

    def _post(self, method: str, question: object) -> _Json:
        try:
            data = self._fetch(orjson.dumps(question))
        except TooSlowError as error:
            raise ChainSlowError(f"{self!r} does not answer {method} within {self._timeout:g} s") from error
        except (OSError, HTTPError) as error:
            raise ChainUnreachableError(f"{self!r} does not answer: {type(error).__name__}") from error
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise ChainUnreachableError(f"{self!r} answered {method} with something that is no JSON") from error

    def _fetch(self, body: bytes) -> bytes:
        response = self._pool.urlopen("POST", self._url, body=body, headers=self._headers, preload_content=False)
        whole = False
        try:
            if response.status not in _WITH_A_REASON:
                raise ChainUnreachableError(f"{self!r} does not answer: HTTP status {response.status}")
            chunks: list[bytes] = []
            size, end = 0, time.monotonic() + _LONGEST * self._timeout
            while chunk := response.read1(_CHUNK_BYTES):
                chunks.append(chunk)
                size += len(chunk)
                if size > self._most_bytes:
                    raise ChainTooMuchError(f"{self!r} answers with more than {self._most_bytes} bytes at once")
                if time.monotonic() > end:
                    raise ChainSlowError(f"{self!r} gave no whole answer within {_LONGEST * self._timeout:g} s")
            whole = True
            return b"".join(chunks)
        finally:
            if whole:
                response.release_conn()
            else:
                response.close()

    def _result(self, method: str, answer: _Json) -> _Json:
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise ChainUnreachableError(f"{self!r} answered {method} with something that is no JSON-RPC")
        if answer.get("error") is not None:
            raise self._refusal(method, answer["error"])
        return answer["result"]

    def _refusal(self, method: str, error: _Json) -> RevertedError | ChainRefusedError:
        if not isinstance(error, dict):
            return ChainRefusedError(f"{self!r} refused {method}: {error!r:.200}")
        message, code, data = str(error.get("message", "")), error.get("code"), error.get("data")
        if isinstance(data, dict):
            data = data.get("data")
        if code == _EXECUTION_REVERTED or "revert" in message.lower():
            return decode_revert(_revert_data(data))
        said = f"{self!r} refused {method}: {message:.200}"
        if method == "eth_getLogs" and (code == _LIMIT_EXCEEDED or any(word in message.lower() for word in _TOO_MUCH)):
            return ChainTooMuchError(said)
        return ChainRefusedError(said)


def _pool(scheme: str, host: str, timeout: float) -> urllib3.PoolManager:
    settings: dict[str, Any] = {"timeout": urllib3.Timeout(timeout), "retries": False, "maxsize": _CONNECTIONS}
    proxy = getproxies().get(scheme)
    if proxy and not proxy_bypass(host):
        return urllib3.ProxyManager(proxy, **settings)
    return urllib3.PoolManager(**settings)


def _revert_data(data: _Json) -> bytes:
    try:
        return bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) else b""
    except ValueError:
        return b""
