"""The graph of who waits for whom in the languages of Graphviz and of Mermaid.

What peers chose stands in it. Each language has its own ways out of a quoted text, and all of them are closed.
"""

from __future__ import annotations

from lockd_client._words import duration, printable

from .graph import how, node_of, who

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .graph import Graph


def dot(graph: Graph) -> str:
    """Return the graph for ``dot``. An arrow leads to whom somebody waits for; a dashed one, to who comes first."""
    return "\n".join(["digraph waits {", "  rankdir=LR;", "  node [shape=box];", *_dot_lines(graph), "}"])


def mermaid(graph: Graph) -> str:
    """Return the graph for Mermaid, in the same way."""
    return "\n".join(["flowchart LR", *_mermaid_lines(graph)])


def _dot_lines(graph: Graph) -> Iterator[str]:
    numbers = {node: number for number, node in enumerate(graph.nodes, 1)}
    for node, end in graph.nodes.items():
        yield f'  n{numbers[node]} [label="{_for_dot(who(end))}"];'
    for row in graph.rows:
        style = "" if row["held"] else ", style=dashed"
        ends = f"n{numbers[node_of(row['waiter'])]} -> n{numbers[node_of(row['blocker'])]}"
        yield f'  {ends} [label="{_for_dot(_edge(row))}"{style}];'


def _mermaid_lines(graph: Graph) -> Iterator[str]:
    numbers = {node: number for number, node in enumerate(graph.nodes, 1)}
    for node, end in graph.nodes.items():
        yield f'  n{numbers[node]}["{_for_mermaid(who(end))}"]'
    for row in graph.rows:
        arrow = "-->" if row["held"] else "-.->"
        waiter, blocker = numbers[node_of(row["waiter"])], numbers[node_of(row["blocker"])]
        yield f'  n{waiter} {arrow}|"{_for_mermaid(_edge(row))}"| n{blocker}'


def _edge(row: Mapping[str, Any]) -> str:
    return f"{row['name']}: {how(row['waiter'], row)}, {duration(row['waiter']['seconds'])}"


def _for_dot(text: str) -> str:
    """A backslash begins an escape there, a quote ends the text, and an ampersand begins an entity of HTML."""
    return printable(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')


def _for_mermaid(text: str) -> str:
    """There everything may mean something, so all that is neither letter nor digit is written as a number."""
    return "".join(
        char if char.isalnum() or char in _PLAIN_IN_MERMAID else f"#{ord(char)};" for char in printable(text)
    )


_PLAIN_IN_MERMAID = " .,:/_-"
