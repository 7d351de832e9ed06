"""``lockctl graph``: who waits for whom, as a tree and as pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lockd.ctl import statuses
from lockd.ctl.drawings import dot, mermaid
from lockd.ctl.graph import Graph, show_graph
from lockd.ctl.output import Output
from support.daemon import Daemon
from support.lockctl import Lockctl
from support.raw import Raw

#: All that may end a quoted text in one of the languages, or give orders to a terminal.
EVIL = 'a"b\\c\nd\x1b[31m]-->e&quot;f`g#h;{|}<i>\\'


def end(session: int, program: str = "", *, owner: int = 1, **others: Any) -> dict[str, Any]:
    """Return one end of an edge: a process whose pid is the number of its session."""
    known = {"session": session, "owner": owner, "pid": session, "uid": 0, "program": program or f"p{session}"}
    return {**known, "label": "", "mode": "X", "permits": 0, "seconds": 5.0 * session, "attached": True, **others}


def edge(
    waiter: dict[str, Any], blocker: dict[str, Any] | None, name: str = "db", *, held: bool = True, **others: Any
) -> dict[str, Any]:
    """Return a row as the daemon tells it."""
    totals = {"limit": 0, "holders_total": 1, "waiters_total": 1}
    return {"name": name, **totals, "held": held, "waiter": waiter, "blocker": blocker, **others}


def tree(*rows: Mapping[str, Any]) -> list[str]:
    """Return the lines that people see."""
    output = Output()
    show_graph(Graph(rows), output)
    return "".join(output._parts).splitlines()


def test_nobody_waits() -> None:
    assert tree() == ["nobody waits"]


def test_everybody_is_below_those_whose_way_it_is_in() -> None:
    assert tree(
        edge(end(2), end(1, label="nightly run")),
        edge(end(3), end(2), "log"),
        edge(end(4, attached=False, mode="S"), end(1)),
    ) == [
        '1 p1 "nightly run"',
        "├─ db: 2 p2 waits for exclusive, 10 s; held exclusive, 5 s",
        "│  └─ log: 3 p3 waits for exclusive, 15 s; held exclusive, 10 s",
        "└─ db: 4 p4 (detached) waits for shared, 20 s; held exclusive, 5 s",
    ]


def test_who_holds_a_name_is_shown_rather_than_who_comes_first() -> None:
    assert tree(
        edge(end(2), end(1, mode="S")),
        edge(end(3), end(1, mode="S")),
        edge(end(3), end(2), held=False),
        edge(end(4, mode="S"), end(3), held=False),
    ) == [
        "1 p1",
        "├─ db: 2 p2 waits for exclusive, 10 s; held shared, 5 s",
        "└─ db: 3 p3 waits for exclusive, 15 s; held shared, 5 s",
        "   └─ db: 4 p4 waits for shared, 20 s; behind it in the queue",
    ]


def test_who_is_in_several_trees_is_unfolded_once() -> None:
    assert tree(edge(end(3), end(1)), edge(end(3), end(2)), edge(end(4), end(3), "log")) == [
        "1 p1",
        "└─ db: 3 p3 waits for exclusive, 15 s; held exclusive, 5 s",
        "   └─ log: 4 p4 waits for exclusive, 20 s; held exclusive, 15 s",
        "2 p2",
        "└─ db: 3 p3 waits for exclusive, 15 s; held exclusive, 10 s (see above)",
    ]


def test_a_circle_is_shown_and_ends() -> None:
    """There is none, but two pages may tell of two moments."""
    assert tree(edge(end(2), end(1)), edge(end(1), end(2), "log")) == [
        "1 p1",
        "└─ db: 2 p2 waits for exclusive, 10 s; held exclusive, 5 s",
        "   └─ log: 1 p1 waits for exclusive, 5 s; held exclusive, 10 s (see above)",
    ]


def test_a_chain_may_be_longer_than_the_stack() -> None:
    lines = tree(*(edge(end(number + 1), end(number), f"n{number}") for number in range(1, 3000)))
    assert len(lines) == 3000


def test_threads_of_one_process_are_told_apart() -> None:
    assert tree(edge(end(2, owner=2), end(1)), edge(end(3), end(2, owner=1), "log"))[2:] == [
        "2 p2",
        "└─ log: 3 p3 waits for exclusive, 15 s; held exclusive, 10 s",
    ]


def test_semaphores_and_somebody_unknown() -> None:
    wants = end(2, mode="", permits=2)
    assert tree(
        edge(wants, end(1, mode="", permits=4), "pool", limit=5),
        edge(end(3), None, "log", holders_total=2000),
    ) == [
        "1 p1",
        "└─ pool: 2 p2 waits for 2 of 5 permits, 10 s; held 4 of 5 permits, 5 s",
        "somebody who holds it",
        "└─ log: 3 p3 waits for exclusive, 15 s; held by one of 2000",
    ]


def test_how_many_waiters_are_not_shown_is_said() -> None:
    rows = [edge(end(2 + number), end(1), waiters_total=70) for number in range(64)]
    assert tree(*rows)[-1] == '"db": 6 more waiters'
    assert "more" not in tree(edge(end(2), end(1), waiters_total=3))[-1]


def test_what_hangs_together_with_a_name() -> None:
    rows = [
        *(edge(end(2), end(1), "a"), edge(end(3), end(2), "b"), edge(end(4), end(1), "c")),
        *(edge(end(6), end(5), "d"), edge(end(7), None, "e"), edge(end(8), None, "f")),
    ]
    for name, names in (("a", "abc"), ("b", "abc"), ("c", "abc"), ("d", "d"), ("e", "e"), ("x", "")):
        assert [row["name"] for row in Graph(rows).around(name).rows] == list(names)


def test_dot() -> None:
    graph = Graph([edge(end(2), end(1, label="run")), edge(end(3, mode="S"), end(2), held=False)])
    assert dot(graph).splitlines() == [
        "digraph waits {",
        "  rankdir=LR;",
        "  node [shape=box];",
        '  n1 [label="1 p1 \\"run\\""];',
        '  n2 [label="2 p2"];',
        '  n3 [label="3 p3"];',
        '  n2 -> n1 [label="db: exclusive, 10 s"];',
        '  n3 -> n2 [label="db: shared, 15 s", style=dashed];',
        "}",
    ]


def test_mermaid() -> None:
    graph = Graph([edge(end(2), end(1, label="run")), edge(end(3, mode="S"), end(2), held=False)])
    assert mermaid(graph).splitlines() == [
        "flowchart LR",
        '  n1["1 p1 #34;run#34;"]',
        '  n2["2 p2"]',
        '  n3["3 p3"]',
        '  n2 -->|"db: exclusive, 10 s"| n1',
        '  n3 -.->|"db: shared, 15 s"| n2',
    ]


EVIL_GRAPH = Graph([edge(end(2, program=EVIL, label=EVIL), end(1, program=EVIL), EVIL)])


def test_no_text_gets_out_of_its_quotes_in_dot() -> None:
    *_, node, other, arrow, brace = dot(EVIL_GRAPH).splitlines()
    quoted = r'"((?:[^"\\]|\\.)*)"'
    for line, shape in ((node, rf"  n1 \[label={quoted}\];"), (other, rf"  n2 \[label={quoted}\];")):
        match = re.fullmatch(shape, line)
        assert match
        # As Graphviz reads it: an escaped backslash or quote is that character, and an entity is one.
        text = re.sub(r"\\(.)", r"\1", match[1]).replace("&amp;", "&")
        assert 'a"b\\c\\nd\\x1b[31m]-->e&quot;f`g#h;{|}<i>\\' in text
    assert re.fullmatch(rf"  n2 -> n1 \[label={quoted}\];", arrow)
    assert brace == "}"


def test_no_text_gets_out_of_its_quotes_in_mermaid() -> None:
    first, node, other, arrow = mermaid(EVIL_GRAPH).splitlines()
    plain = r'"((?:[\w .,:/-]|#\d+;)*)"'
    match = re.fullmatch(rf"  n1\[{plain}\]", node)
    assert match
    text = re.sub(r"#(\d+);", lambda number: chr(int(number[1])), match[1])
    assert text == '1 a"b\\c\\nd\\x1b[31m]-->e&quot;f`g#h;{|}<i>\\'
    assert re.fullmatch(rf"  n2\[{plain}\]", other)
    assert re.fullmatch(rf"  n2 -->\|{plain}\| n1", arrow)
    assert first == "flowchart LR"


def test_a_tree_gives_no_orders_to_the_terminal() -> None:
    lines = tree(*EVIL_GRAPH.rows)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


@pytest.fixture
def waiters(daemon: Daemon, name: str) -> Iterator[None]:
    """One holds the name, one waits for it, and one waits behind that."""
    with (
        Raw.welcomed(daemon.client_socket, "backup", release_on_eof=True) as holder,
        Raw.welcomed(daemon.client_socket, "writer", release_on_eof=True) as writer,
        Raw.welcomed(daemon.client_socket, "reader", release_on_eof=True) as reader,
    ):
        holder.acquire(1, name, "S")
        writer.queue_up(1, [name, "X"])
        reader.queue_up(1, [name, "S"])
        yield


@pytest.mark.usefixtures("waiters")
def test_the_graph_of_a_daemon(lockctl: Lockctl, name: str) -> None:
    outcome = lockctl("graph", name)
    assert (outcome.status, outcome.err) == (0, "")
    root, writer, reader = outcome.out.splitlines()
    assert root.endswith(" backup")
    assert re.search(r"^└─ .* writer waits for exclusive, .*; held shared, ", writer)
    assert re.search(r"^   └─ .* reader waits for shared, .*; behind it in the queue$", reader)
    assert {line.strip() for line in outcome.out.splitlines()} - {""}
    assert name in lockctl("graph").out

    rows = json.loads(lockctl("graph", "--json", name).out)
    assert [(row["waiter"]["program"], row["blocker"]["program"], row["held"]) for row in rows] == [
        ("writer", "backup", True),
        ("reader", "writer", False),
    ]
    assert lockctl("graph", "--dot", name).out.startswith("digraph waits {\n")
    assert lockctl("graph", "--mermaid", name).out.startswith("flowchart LR\n")


def test_a_graph_of_nothing(lockctl: Lockctl, name: str) -> None:
    assert lockctl("graph", name) == (0, "nobody waits\n", "")
    assert json.loads(lockctl("graph", "--json", name).out) == []
    outcome = lockctl("graph", "a\nb")
    assert (outcome.status, outcome.out) == (statuses.USAGE, "")
