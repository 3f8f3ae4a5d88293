"""The way from a device to a result, as a graph around one subject: eight columns of nodes and what joins them.

Bounded: a column shows a few nodes and says how many more there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from audit.findings import Subject
from audit.pages.text import short
from audit.picture import Deal, State, Use
from audit.questions import Page, Questions
from capsule.ids import AssetId, GrantId, RequestId, UseId

__all__ = ["COLUMNS", "Edge", "Graph", "Node", "graph_of"]

COLUMNS: Final = ("device", "batch", "capsule", "deal", "request", "grant", "use", "result")
_MOST: Final = 6
_MOST_CHILDREN: Final = 4
_WIDTH: Final = 136
_HEIGHT: Final = 44
_GAP_X: Final = 34
_GAP_Y: Final = 14
_TOP: Final = 34
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Node:
    """One box: `about` is what it links to, None where it has no trail; `word` a key of the catalogue, for `fill`."""

    column: str
    key: str
    about: Subject | None
    text: str
    word: str
    fill: tuple[str, ...] = ()
    focus: bool = False
    x: int = 0
    y: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from one box to another: its ends and the curve between, as an SVG path."""

    source: Node
    target: Node

    @property
    def path(self) -> str:
        x1, y1 = self.source.x + _WIDTH, self.source.y + _HEIGHT // 2
        x2, y2 = self.target.x, self.target.y + _HEIGHT // 2
        middle = (x1 + x2) // 2
        return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"


@dataclass(frozen=True, slots=True)
class Graph:
    """Boxes with their places, `more` boxes that a column does not show, and the size of the drawing in pixels."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    more: dict[str, int]
    heads: tuple[tuple[str, int], ...]
    width: int
    height: int
    node_width: int = _WIDTH
    node_height: int = _HEIGHT


def graph_of(state: State, questions: Questions, about: Subject) -> Graph:
    """The graph around a subject; without nodes where it has none."""
    drawing = _Drawing(state, questions, about)
    drawing.begin()
    return drawing.placed()


@dataclass(slots=True)
class _Drawing:
    state: State
    questions: Questions
    about: Subject
    nodes: dict[str, Node] = field(default_factory=dict)
    joins: dict[tuple[str, str], None] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        match self.about.kind:
            case "device":
                self._from_device(self.about.id)
            case "asset":
                self._from_asset(self.about.id)
            case "request":
                self._from_request(self.about.id)
            case "grant":
                self._from_grant(self.about.id)
            case "use":
                self._from_use(self.about.id)
            case _:
                self._from_participant(self.about.id)

    # Where to begin

    def _from_device(self, device: str) -> None:
        own = self._device(device)
        batches = self._cut("batch", self.questions.linked("device-batch", source=device, limit=_MOST))
        for batch in batches:
            self._join(own, self._batch(batch))
            for version in self.questions.linked("batch-version", source=batch, limit=_MOST_CHILDREN).rows:
                asset, _, number = version.partition("/")
                capsule = self._forward(asset, int(number))
                self._join(f"batch {batch}", capsule)

    def _from_asset(self, named: str) -> None:
        asset = self.state.assets.get(AssetId.parse(named))
        if asset is None:
            return
        for version in asset.versions[-_MOST_CHILDREN:]:
            self._backward(named, version.number)
            self._forward(named, version.number)

    def _from_request(self, named: str) -> None:
        request = self.state.requests.get(RequestId.parse(named))
        if request is None:
            return
        self._backward(str(request.asset), request.pin.version)
        self._request(named)
        self._grants(named)

    def _from_grant(self, named: str) -> None:
        grant = self.state.grants.get(GrantId.parse(named))
        if grant is None:
            return
        self._backward(str(grant.asset), grant.pin.version)
        self._join(self._request(str(grant.request)), self._grant(named))
        self._uses(named)

    def _from_use(self, named: str) -> None:
        use = self.state.uses.get(UseId.parse(named))
        if use is None:
            return
        self._backward(str(use.asset), use.pin.version)
        grant = self.state.grants.get(use.grant)
        if grant is not None:
            self._join(self._request(str(grant.request)), self._grant(str(use.grant)))
        self._join(f"grant {use.grant}", self._use(use))

    def _from_participant(self, named: str) -> None:
        for row in self._cut("device", self.questions.children("device", named, _MOST)):
            self._device(row.id)
        for row in self._cut("capsule", self.questions.children("asset", named, _MOST)):
            asset = self.state.assets.get(AssetId.parse(row.id))
            if asset is not None and asset.versions:
                self._forward(row.id, asset.versions[-1].number)

    # Along the way

    def _backward(self, asset: str, number: int) -> None:
        """Batches and devices that a version's capsule names as its source."""
        capsule = self._capsule(asset, number)
        for batch in self._cut(
            "batch", self.questions.linked("batch-version", target=f"{asset}/{number}", limit=_MOST)
        ):
            self._join(self._batch(batch), capsule)
            for device in self._cut("device", self.questions.linked("device-batch", target=batch, limit=_MOST)):
                self._join(self._device(device), f"batch {batch}")

    def _forward(self, asset: str, number: int) -> str:
        """A version with its deals, and what was asked of it and became of that."""
        capsule = self._capsule(asset, number)
        version = self.state.version(AssetId.parse(asset), number)
        for deal in () if version is None else version.deals[-_MOST_CHILDREN:]:
            self._join(capsule, self._deal(deal))
        for row in self._cut("request", self.questions.children("request", asset, _MOST)):
            self._request(row.id)
            self._grants(row.id)
        return capsule

    def _grants(self, request: str) -> None:
        for row in self._cut("grant", self.questions.children("grant", request, _MOST_CHILDREN)):
            self._join(f"request {request}", self._grant(row.id))
            self._uses(row.id)

    def _uses(self, grant: str) -> None:
        for row in self._cut("use", self.questions.children("use", grant, _MOST_CHILDREN)):
            use = self.state.uses.get(UseId.parse(row.id))
            if use is not None:
                self._join(f"grant {grant}", self._use(use))

    # Boxes

    def _device(self, named: str) -> str:
        return self._box("device", f"device {named}", Subject("device", named), short(named), "graph.device")

    def _batch(self, named: str) -> str:
        gateway, _, number = named.partition("/")
        about = Subject("participant", gateway)
        return self._box("batch", f"batch {named}", about, f"#{number}", "graph.batch", (short(gateway),))

    def _capsule(self, asset: str, number: int) -> str:
        about = Subject("asset", asset)
        return self._box("capsule", f"capsule {asset}/{number}", about, short(asset), "graph.version", (str(number),))

    def _deal(self, deal: Deal) -> str:
        fill = (str(deal.threshold), str(len(deal.holders) - 1), str(len(deal.accepted)))
        return self._box("deal", f"deal {deal.asset}/{deal.hash}", None, f"#{deal.number}", "graph.deal", fill)

    def _request(self, named: str) -> str:
        request = self.state.requests.get(RequestId.parse(named))
        key = self._box("request", f"request {named}", Subject("request", named), short(named), "graph.request")
        if request is not None:
            deal = self.state.deal(request.pin)
            capsule = self._capsule(str(request.asset), request.pin.version)
            if deal is None:
                self._join(capsule, key)
            else:
                self._join(capsule, self._deal(deal))
                self._join(f"deal {deal.asset}/{deal.hash}", key)
        return key

    def _grant(self, named: str) -> str:
        grant = self.state.grants.get(GrantId.parse(named))
        word = "graph.revoked" if grant is not None and grant.revoked is not None else "graph.grant"
        return self._box("grant", f"grant {named}", Subject("grant", named), short(named), word)

    def _use(self, use: Use) -> str:
        named = str(use.id)
        closing = use.closing
        word = "graph.use-open" if use.ended is None else "graph.use-expired"
        if closing is not None:
            word = "graph.use-completed" if closing.completed else "graph.use-failed"
        key = self._box("use", f"use {named}", Subject("use", named), short(named), word)
        if closing is not None and closing.completed:
            result = str(closing.result_hash)
            fill = (str(closing.rows_out),)
            self._join(key, self._box("result", f"result {named}", None, short(result), "graph.result", fill))
        return key

    def _box(
        self, column: str, key: str, about: Subject | None, text: str, word: str, fill: tuple[str, ...] = ()
    ) -> str:
        focus = about == self.about and column != "batch"
        self.nodes.setdefault(key, Node(column, key, about, text, word, fill, focus))
        return key

    def _join(self, source: str, target: str) -> None:
        self.joins.setdefault((source, target))

    def _cut(self, column: str, page: Page[_Row]) -> tuple[_Row, ...]:
        if page.total > len(page.rows):
            self.more[column] = self.more.get(column, 0) + page.total - len(page.rows)
        return page.rows

    def placed(self) -> Graph:
        """Boxes in their columns from the top; columns that hold nothing are left out."""
        used = [column for column in COLUMNS if any(node.column == column for node in self.nodes.values())]
        x = {column: number * (_WIDTH + _GAP_X) for number, column in enumerate(used)}
        rows = dict.fromkeys(used, 0)
        placed: dict[str, Node] = {}
        for key, node in self.nodes.items():
            placed[key] = replace(node, x=x[node.column], y=_TOP + rows[node.column] * (_HEIGHT + _GAP_Y))
            rows[node.column] += 1
        edges = tuple(Edge(placed[a], placed[b]) for a, b in self.joins if a in placed and b in placed)
        return Graph(
            nodes=tuple(sorted(placed.values(), key=lambda node: (node.x, node.y))),
            edges=edges,
            more={column: self.more[column] for column in used if column in self.more},
            heads=tuple((column, x[column]) for column in used),
            width=max(len(used) * (_WIDTH + _GAP_X) - _GAP_X, 0),
            height=_TOP + max(rows.values(), default=0) * (_HEIGHT + _GAP_Y),
        )
