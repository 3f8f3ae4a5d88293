"""A JSON-RPC proxy before a true node that lies, fails, stalls or breaks off, as it is told."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["LyingEndpoint", "RefusedError", "lying_endpoint"]


class RefusedError(Exception):
    """The proxy answers with this JSON-RPC error."""

    def __init__(self, message: str, code: int = -32000) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


class LyingEndpoint:
    """`lie` (method, params, true result) gives the result told; `params` bends what is asked.

    `stall` waits so many seconds before each answer, `status` other than 200 answers nothing else, `cut` breaks answers
    off in the middle. `asked` counts questions by method.
    """

    def __init__(self, true_url: str) -> None:
        self._true_url = true_url
        self.url = ""
        self.lie: Callable[[str, list[Any], Any], Any] = lambda method, params, result: result
        self.stall = 0.0
        self.status = 200
        self.cut = False
        self.asked: list[str] = []

    def answer(self, body: bytes) -> bytes:
        question = json.loads(body)
        if isinstance(question, list):
            return json.dumps([self._one(one) for one in question]).encode()
        return json.dumps(self._one(question)).encode()

    def _one(self, question: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(question["method"])
        request = urllib.request.Request(  # noqa: S310
            self._true_url, json.dumps(question).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as found:  # noqa: S310
            answer: dict[str, Any] = json.loads(found.read())
        if "result" not in answer:
            return answer
        try:
            return {**answer, "result": self.lie(question["method"], question["params"], answer["result"])}
        except RefusedError as refusal:
            return {"jsonrpc": "2.0", "id": question["id"], "error": refusal.error}


@contextmanager
def lying_endpoint(true_url: str) -> Iterator[LyingEndpoint]:
    """Runs the proxy on a free port; it stops at the end."""
    endpoint = LyingEndpoint(true_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(endpoint.stall)
            if endpoint.status != 200:
                self.send_error(endpoint.status)
                return
            answer = endpoint.answer(body)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if endpoint.cut:
                self.wfile.write(answer[: len(answer) // 2])
                self.close_connection = True
                return
            self.wfile.write(answer)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # whoever asked has given up

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
