"""The port `Documents`: where an auditor gets what is hashed on chain but not kept there.

A document is asked for by kind and by the 32 bytes that name it on chain (most often its digest), from the accounts
that must have it. What comes back is bytes and nothing is believed: `audit.papers` checks them. Endpoints come from
the chain and are hostile input: only http and https, no private address unless allowed, no redirects, a limit on size
and time.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import httpx

from audit.errors import DocumentError
from capsule.ids import Address, Bytes32

__all__ = [
    "DirectoryDocuments",
    "Documents",
    "FetchLimits",
    "HttpDocuments",
    "LayeredDocuments",
    "MemoryDocuments",
    "Reference",
]

_KIND: Final = re.compile(r"[a-z][a-z-]{0,31}")


@dataclass(frozen=True, slots=True)
class Reference:
    """One document: its kind, its name on chain, and who must serve it, the most answerable first.

    `served_as`: the name at the owner's endpoint, where several owners have one of their own under the same name.
    """

    kind: str
    key: Bytes32
    owners: tuple[Address, ...]
    served_as: Bytes32 | None = None


class Documents(Protocol):
    """A source of documents. None: not served here, or not within the limits."""

    def fetch(self, reference: Reference) -> bytes | None: ...


class MemoryDocuments:
    """Documents in memory: those of a bundle, or of a simulator."""

    def __init__(self, documents: Mapping[tuple[str, bytes], bytes]) -> None:
        self._documents = {(kind, bytes(key)): content for (kind, key), content in documents.items()}

    def fetch(self, reference: Reference) -> bytes | None:
        return self._documents.get((reference.kind, bytes(reference.key)))


class DirectoryDocuments:
    """Documents as files: <folder>/<kind>/<0x key in hex>, with or without the ending .json."""

    def __init__(self, folder: Path, max_bytes: int = 1024 * 1024 * 1024) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def fetch(self, reference: Reference) -> bytes | None:
        if _KIND.fullmatch(reference.kind) is None:
            return None
        for name in (str(reference.key), f"{reference.key}.json"):
            path = self._folder / reference.kind / name
            try:
                if path.stat().st_size <= self._max_bytes:
                    return path.read_bytes()
            except OSError:
                continue
        return None


class LayeredDocuments:
    """Several sources, asked in order."""

    def __init__(self, layers: Iterable[Documents]) -> None:
        self._layers = tuple(layers)

    def fetch(self, reference: Reference) -> bytes | None:
        return next((found for layer in self._layers if (found := layer.fetch(reference)) is not None), None)


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """`max_bytes` of a document, `max_capsule_bytes` of a capsule file, `seconds` for one answer as a whole."""

    max_bytes: int = 16 * 1024 * 1024
    max_capsule_bytes: int = 64 * 1024 * 1024
    seconds: float = 10.0
    allow_private: bool = False


class HttpDocuments:
    """Documents from their owners' endpoints on chain: GET {endpoint}/v1/documents/{kind}/{key}, and for a capsule file
    GET {endpoint}/v1/capsules/{root}.

    An endpoint that can't be reached is not asked again in this run. When not one of several can be reached, it is the
    auditor's own network: DocumentError, instead of a finding against everybody.
    """

    def __init__(
        self,
        endpoints: Mapping[Address, str],
        limits: FetchLimits,
        client: httpx.Client,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoints = endpoints
        self._limits = limits
        self._client = client
        self._monotonic = monotonic
        self._silent: set[str] = set()
        self._reached = False

    def fetch(self, reference: Reference) -> bytes | None:
        """Raises DocumentError, retryable, when the network is not there."""
        if _KIND.fullmatch(reference.kind) is None:
            return None
        name = reference.key if reference.served_as is None else reference.served_as
        path, limit = f"/v1/documents/{reference.kind}/{name}", self._limits.max_bytes
        if reference.kind == "capsule":
            path, limit = f"/v1/capsules/{reference.key}", self._limits.max_capsule_bytes
        for owner in reference.owners:
            endpoint = self._endpoints.get(owner, "")
            if not endpoint or endpoint in self._silent:
                continue
            content = self._get(endpoint, path, limit)
            if content is not None:
                return content
        return None

    def check_network(self) -> None:
        """After a run: raises DocumentError when none of several endpoints can be reached, asked in the run or not.

        Who owes no document was not asked: if he answers, the others' silence is theirs.
        """
        if self._reached or not self._silent:
            return
        for endpoint in sorted({one for one in self._endpoints.values() if one} - self._silent):
            self._get(endpoint, "/healthz", self._limits.max_bytes)
            if self._reached:
                return

    def _unreachable(self, endpoint: str) -> None:
        self._silent.add(endpoint)
        known = {one for one in self._endpoints.values() if one}
        if not self._reached and len(known) > 1 and known <= self._silent:
            raise DocumentError(
                f"none of the {len(known)} endpoints on chain can be reached; check this machine's network, "
                "and whether they stand at private addresses",
                retryable=True,
            )

    def _get(self, endpoint: str, path: str, max_bytes: int) -> bytes | None:
        target = self._target(endpoint, path)
        if target is None:
            self._unreachable(endpoint)
            return None
        url, host, server_name = target
        until = self._monotonic() + self._limits.seconds
        try:
            with self._client.stream(
                "GET",
                url,
                headers={"host": host, "accept-encoding": "identity"},
                extensions={"sni_hostname": server_name},
                timeout=self._limits.seconds,
                follow_redirects=False,
            ) as response:
                self._reached = True
                if response.status_code != httpx.codes.OK:
                    return None
                return self._body(response, max_bytes, until)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self._unreachable(endpoint)
            return None
        except (httpx.HTTPError, httpx.InvalidURL):
            return None

    def _body(self, response: httpx.Response, max_bytes: int, until: float) -> bytes | None:
        content = bytearray()
        # Raw: what is compressed stays so, and no small answer grows past the limit. A client in this process may hold
        # the whole answer already.
        for part in (response.content,) if response.is_stream_consumed else response.iter_raw():
            content += part
            if len(content) > max_bytes or self._monotonic() > until:
                return None
        return bytes(content)

    def _target(self, endpoint: str, path: str) -> tuple[str, str, str] | None:
        """Where to connect: a URL with the address in the place of the name, so that no second look-up changes it."""
        try:
            parts = urlsplit(endpoint)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            return None
        address = self._address(parts.hostname, port)
        if address is None:
            return None
        literal = f"[{address}]" if ":" in address else address
        url = f"{parts.scheme}://{literal}:{port}{parts.path.rstrip('/')}{path}"
        return url, _host(parts), parts.hostname

    def _address(self, host: str, port: int) -> str | None:
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError):
            return None
        if not self._limits.allow_private and not all(_is_public(address) for address in found):
            return None
        return found[0] if found else None


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
