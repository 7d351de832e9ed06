"""Who waits for whom: the graph that the daemon tells edge by edge, put together, and drawn as a tree."""

from __future__ import annotations

from lockd_client._modes import word_of
from lockd_client._words import count, duration, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, TypeAlias

    from .output import Output

    _Row: TypeAlias = Mapping[str, Any]

    #: A thread or task of a session: who waits, and for whom others wait.
    Node: TypeAlias = tuple[int, int]

#: Who it is of whom the daemon only says that there is somebody.
_UNKNOWN: Node = (0, 0)

#: Fewer waiters for one name are all told of. Some of them may have no edge there: others are in their way elsewhere.
_MANY = 64


class Graph:
    """Edges, and whom they connect."""

    def __init__(self, rows: Iterable[_Row]) -> None:
        self.rows = list(rows)
        #: A description of each, in the order in which they are met.
        self.nodes: dict[Node, _Row | None] = {}
        for row in self.rows:
            for end in (row["blocker"], row["waiter"]):
                self.nodes.setdefault(node_of(end), end)

    def around(self, name: str) -> Graph:
        """Return the part of the graph that hangs together with a name."""
        rows_of: dict[Node, list[_Row]] = {}
        for row in self.rows:
            for node in _ends(row) - {_UNKNOWN}:
                rows_of.setdefault(node, []).append(row)
        found: dict[int, _Row] = {}
        left = [row for row in self.rows if row["name"] == name]
        while left:
            row = left.pop()
            if id(row) not in found:
                found[id(row)] = row
                left += [other for node in _ends(row) - {_UNKNOWN} for other in rows_of[node]]
        return Graph(row for row in self.rows if id(row) in found)

    def left_out(self) -> dict[str, int]:
        """Return how many waiters for a name the daemon did not tell of, of each name where there are some."""
        told: dict[str, set[Node]] = {}
        totals: dict[str, int] = {}
        for row in self.rows:
            told.setdefault(row["name"], set()).add(node_of(row["waiter"]))
            totals[row["name"]] = row["waiters_total"]
        return {
            name: more for name, total in totals.items() if total >= _MANY and (more := total - len(told[name])) > 0
        }


def node_of(end: _Row | None) -> Node:
    """Return who is at an end of an edge."""
    return _UNKNOWN if end is None else (end["session"], end["owner"])


def _ends(row: _Row) -> set[Node]:
    return {node_of(row["waiter"]), node_of(row["blocker"])}


def who(end: _Row | None) -> str:
    """Say who that is."""
    if end is None:
        return "somebody who holds it"
    label = f" {quoted(end['label'])}" if end["label"] else ""
    detached = "" if end["attached"] else " (detached)"
    return f"{end['pid']} {end['program'] or '?'}{label}{detached}"


def how(end: _Row, row: _Row) -> str:
    """Say in what way somebody holds a name or wants it."""
    if row["limit"]:
        return f"{end['permits']} of {count(row['limit'], 'permit')}"
    return word_of(end["mode"])


def show_graph(graph: Graph, output: Output) -> None:
    """Show the graph as trees: those for whom everybody waits, and below each who waits for it."""
    if not graph.rows:
        output.line("nobody waits")
        return
    for line in _Trees(graph).lines():
        output.line(line)
    for name, more in graph.left_out().items():
        output.line(f"{quoted(name)}: {count(more, 'more waiter')}")


class _Trees:
    """Each node has below it those whose way it is in: first by what it holds, else by what it waits for itself."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        held = {(node_of(row["waiter"]), row["name"]) for row in graph.rows if row["held"]}
        self._below: dict[Node, list[_Row]] = {}
        waiting = set()
        for row in graph.rows:
            waiter = node_of(row["waiter"])
            waiting.add(waiter)
            # Who waits for a holder is shown below the holder alone, in the order of the queue.
            if row["held"] or (waiter, row["name"]) not in held:
                self._below.setdefault(node_of(row["blocker"]), []).append(row)
        self._roots = [node for node in graph.nodes if node not in waiting]
        self._shown: set[Node] = set()

    def lines(self) -> Iterator[str]:
        for node in self._roots:
            yield from self._tree(node)
        # Two pages may tell of two moments, and then there may be a circle.
        for node in self._graph.nodes:
            if node not in self._shown:
                yield from self._tree(node)

    def _tree(self, root: Node) -> Iterator[str]:
        self._shown.add(root)
        yield who(self._graph.nodes[root])
        # Not by recursion: a chain of waiters may be longer than the stack.
        stack = [("", self._below.get(root, []), 0)]
        while stack:
            indent, rows, position = stack.pop()
            if position == len(rows):
                continue
            stack.append((indent, rows, position + 1))
            row, is_last = rows[position], position + 1 == len(rows)
            waiter = node_of(row["waiter"])
            is_known = waiter in self._shown
            below = [] if is_known else self._below.get(waiter, [])
            self._shown.add(waiter)
            yield f"{indent}{'└─' if is_last else '├─'} {_edge(row)}{' (see above)' if is_known else ''}"
            stack.append((f"{indent}{'   ' if is_last else '│  '}", below, 0))


def _edge(row: _Row) -> str:
    waiter, blocker = row["waiter"], row["blocker"]
    since = duration(waiter["seconds"])
    line = f"{row['name']}: {who(waiter)} waits for {how(waiter, row)}, {since}"
    if blocker is None:
        return f"{line}; held by one of {row['holders_total']}"
    if row["held"]:
        return f"{line}; held {how(blocker, row)}, {duration(blocker['seconds'])}"
    return f"{line}; behind it in the queue"
