"""docs/protocol.md, what can be asked for, with bytes alone: modes, permits, several names at once, trees."""

from __future__ import annotations

import pytest

from support.protocol_page import read_page
from support.raw import GRANTED, TRY, Raw

from .conftest import Connect

MODES = ("IS", "IX", "S", "U", "SIX", "X")


def documented_pairs() -> dict[tuple[str, str], bool]:
    """Read the table of the modes: which two of them two owners can have at the same time."""
    _, _, behind = read_page().partition("| | IS | IX | S | U | SIX | X |\n")
    rows = behind.splitlines()[1 : 1 + len(MODES)]
    pairs: dict[tuple[str, str], bool] = {}
    for mode, row in zip(MODES, rows, strict=True):
        first, *cells = (cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split("|"))
        assert first.startswith(f"`{mode}` ")
        pairs |= {(mode, other): cell == "+" for other, cell in zip(MODES, cells, strict=True)}
    return pairs


PAIRS = documented_pairs()


def test_the_table_is_the_one_of_the_textbooks() -> None:
    """Else the test below could agree with a page that is wrong together with the daemon."""
    together = {"IS": "IS IX S U SIX", "IX": "IS IX", "S": "IS S U", "U": "IS S", "SIX": "IS", "X": ""}
    assert {pair for pair, is_compatible in PAIRS.items() if is_compatible} == {
        (mode, other) for mode, others in together.items() for other in others.split()
    }


@pytest.mark.parametrize(("held", "wanted"), PAIRS)
def test_two_owners_have_a_name_together_as_the_table_says(connect: Connect, name: str, held: str, wanted: str) -> None:
    holder, other = connect(), connect()
    token = holder.take(1, [name, held])
    other.want(1, [name, wanted], timeout=TRY)
    if PAIRS[held, wanted]:
        other.granted(1)
    else:
        facts = other.failed(1, "timeout")
        assert [(entry["token"], entry["mode"]) for entry in facts["holders"]] == [(token, held)]
    # And two owners of one session are no different.
    holder.want(2, [name, wanted], timeout=TRY, owner=2)
    assert (holder.receive()[0] == GRANTED) == (PAIRS[held, wanted] and PAIRS[wanted, wanted])


def test_whoever_may_come_to_write_lets_readers_in_and_no_second_one_of_its_kind(connect: Connect, name: str) -> None:
    updater, reader, other = connect(), connect(), connect()
    updater.take(1, [name, "U"])
    reader.take(1, [name, "S"])
    other.want(1, [name, "U"], timeout=TRY)
    assert other.failed(1, "timeout")["holders_total"] == 2


# Semaphores


def permits_of(peer: Raw, request: int, name: str) -> list[int]:
    """Ask for the permits of each holder."""
    return [entry["permits"] for entry in peer.facts_of(request, name)["holders"]]


def test_permits_are_given_out_up_to_the_limit(connect: Connect, name: str) -> None:
    one, other, third = connect(), connect(), connect()
    token = one.take(1, [name, 2, 5])
    other.take(1, [name, 3, 5])
    third.want(1, [name, 1, 5], timeout=TRY)
    facts = third.failed(1, "timeout")
    assert [(entry["mode"], entry["permits"]) for entry in facts["holders"]] == [("", 2), ("", 3)]
    one.release(2, token)
    third.take(2, [name, 2, 5])
    assert permits_of(one, 3, name) == [3, 2]


def test_a_large_request_at_the_head_is_not_starved_by_small_ones(connect: Connect, name: str) -> None:
    holder, large, small = connect(), connect(), connect()
    token = holder.take(1, [name, 2, 3])
    large.queue_up(1, [name, 3, 3])
    # There is a permit left, and it is not for those who come later.
    small.want(1, [name, 1, 3], timeout=TRY)
    assert small.failed(1, "timeout")["position"] == 2
    small.queue_up(2, [name, 1, 3])
    holder.release(2, token)
    token = large.granted(1)
    assert permits_of(small, 4, name) == [3]
    large.release(3, token)
    small.granted(2)


def test_one_owner_can_have_permits_twice_and_they_are_all_counted(connect: Connect, name: str) -> None:
    one, other = connect(), connect()
    first, second = one.take(1, [name, 1, 3]), one.take(2, [name, 2, 3])
    assert first != second
    other.want(1, [name, 1, 3], timeout=TRY)
    other.failed(1, "timeout")
    assert permits_of(one, 3, name) == [1, 2]


def test_when_nobody_has_it_any_more_a_name_may_become_something_else(connect: Connect, name: str) -> None:
    peer = connect()
    for request, item in ((1, [name, 1, 3]), (3, [name, "X"]), (5, [name, 2, 7])):
        peer.release(request + 1, peer.take(request, item))


# Several names at once


def test_several_names_are_granted_together_under_one_token(connect: Connect, name: str) -> None:
    peer, other = connect(), connect()
    a, b, pool = f"{name} a", f"{name} b", f"{name} pool"
    token = peer.take(1, [a, "X"], [b, "S"], [pool, 2, 3])
    held = [peer.facts_of(request, each)["holders"] for request, each in ((2, a), (3, b), (4, pool))]
    assert [(entry["token"], entry["mode"], entry["permits"]) for [entry] in held] == [
        (token, "X", 0),
        (token, "S", 0),
        (token, "", 2),
    ]
    # Each in its own way.
    other.take(1, [b, "S"])
    other.take(2, [pool, 1, 3])
    other.want(3, [a, "S"], timeout=TRY)
    other.failed(3, "timeout")
    # One release frees them all.
    peer.release(5, token)
    other.take(4, [a, "X"], [pool, 2, 3])


def test_all_or_nothing(connect: Connect, name: str) -> None:
    holder, peer, other = connect(), connect(), connect()
    a, b = f"{name} a", f"{name} b"
    holder.take(1, [b, "X"])
    peer.want(1, [a, "X"], [b, "X"], timeout=TRY)
    # The one that is in the way is the one that is told of.
    assert peer.failed(1, "timeout")["name"] == b
    other.take(1, [a, "X"])


def test_a_request_holds_nothing_while_it_waits_and_keeps_its_place_everywhere(connect: Connect, name: str) -> None:
    holder, peer, other = connect(), connect(), connect()
    a, b = f"{name} a", f"{name} b"
    token = holder.take(1, [b, "X"])
    peer.queue_up(1, [a, "X"], [b, "X"])
    facts = peer.facts_of(3, a)
    assert (facts["holders"], facts["waiters_total"]) == ([], 1)
    # Free as it is, whoever comes later waits: else those who want several names would starve.
    other.queue_up(1, [a, "X"])
    holder.release(2, token)
    token = peer.granted(1)
    assert peer.facts_of(4, a)["holders"][0]["token"] == token
    peer.release(5, token)
    other.granted(1)


def test_two_that_want_the_same_names_in_another_order_come_one_after_the_other(connect: Connect, name: str) -> None:
    holder, one, other = connect(), connect(), connect()
    a, b = f"{name} a", f"{name} b"
    token = holder.take(1, [a, "X"], [b, "X"])
    one.queue_up(1, [a, "X"], [b, "X"])
    other.queue_up(1, [b, "X"], [a, "X"])
    holder.release(2, token)
    one.release(3, one.granted(1))
    other.granted(1)


def test_sixteen_names(connect: Connect, name: str) -> None:
    peer, other = connect(), connect()
    names = [f"{name} {number}" for number in range(16)]
    peer.take(1, *([each, "X"] for each in names))
    for request, each in enumerate(names, start=1):
        other.want(request, [each, "IS"], timeout=TRY)
        other.failed(request, "timeout")


# Trees


@pytest.mark.parametrize(
    ("held", "wanted", "is_compatible"),
    [
        (("", "X"), ("/users/42", "X"), False),
        (("", "X"), ("/users/42", "S"), False),
        (("", "S"), ("/users/42", "X"), False),
        (("", "S"), ("/users/42", "S"), True),
        (("", "U"), ("/users/42", "S"), True),
        (("", "SIX"), ("/users/42", "S"), True),
        (("", "SIX"), ("/users/42", "X"), False),
        (("/users", "X"), ("/users/42", "IS"), False),
        (("/users/42", "X"), ("/users/43", "X"), True),
        (("/users/42", "X"), ("/users/42", "S"), False),
        (("/users", "X"), ("/orders", "X"), True),
    ],
)
def test_a_tree(
    connect: Connect, name: str, held: tuple[str, str], wanted: tuple[str, str], is_compatible: bool
) -> None:
    for there, (first, second) in enumerate(((held, wanted), (wanted, held))):
        root = f"db {there} {name}"
        holder, other = connect(), connect()
        holder.take(1, [root + first[0], first[1]], tree=True)
        other.want(1, [root + second[0], second[1]], timeout=TRY, tree=True)
        if is_compatible:
            other.granted(1)
        else:
            other.failed(1, "timeout")


def test_whoever_waits_for_a_tree_gets_it_when_the_last_one_below_it_has_gone(connect: Connect, name: str) -> None:
    one, other, whole = connect(), connect(), connect()
    first, second = one.take(1, [f"{name}/users/42", "X"], tree=True), other.take(1, [f"{name}/log", "S"], tree=True)
    # The whole of it needs no option: it has no ancestors.
    whole.queue_up(1, [name, "X"])
    # And from then on nobody gets in below.
    one.want(2, [f"{name}/users/43", "S"], timeout=TRY, tree=True, owner=2)
    assert one.failed(2, "timeout")["name"] == name
    one.release(3, first)
    assert whole.facts_of(3, name)["waiters_total"] == 1
    other.release(2, second)
    whole.granted(1)


@pytest.mark.parametrize(
    ("mode", "above"), [("IS", "IS"), ("S", "IS"), ("U", "IS"), ("IX", "IX"), ("SIX", "IX"), ("X", "IX")]
)
def test_the_ancestors_have_the_matching_intention(connect: Connect, name: str, mode: str, above: str) -> None:
    peer = connect()
    token = peer.take(1, [f"{name}/users/42", mode], tree=True)
    levels = (name, f"{name}/users", f"{name}/users/42")
    held = [peer.facts_of(request, level)["holders"] for request, level in enumerate(levels, start=2)]
    assert [(entry["token"], entry["mode"]) for [entry] in held] == [(token, above), (token, above), (token, mode)]
    peer.release(10, token)
    assert [peer.facts_of(request, level)["holders"] for request, level in enumerate(levels, start=11)] == [[]] * 3


def test_an_ancestor_that_two_names_have_in_common_is_taken_once_in_the_stronger_mode(
    connect: Connect, name: str
) -> None:
    peer = connect()
    peer.take(1, [f"{name}/a", "S"], [f"{name}/b", "X"], tree=True)
    assert [entry["mode"] for entry in peer.facts_of(2, name)["holders"]] == ["IX"]
    # One that is asked for itself is taken in what does for both.
    peer.take(3, [f"{name}/c/d", "X"], [f"{name}/c", "S"], tree=True)
    assert [entry["mode"] for entry in peer.facts_of(4, f"{name}/c")["holders"]] == ["SIX"]


def test_without_the_option_slashes_mean_nothing(connect: Connect, name: str) -> None:
    one, other = connect(), connect()
    one.take(1, [f"{name}/users/42", "X"])
    other.take(1, [name, "X"])
    other.take(2, [f"{name}/users", "X"])


@pytest.mark.parametrize("path", ["/{}/data", "{}/a/b", "{}"])
def test_every_part_that_ends_before_a_slash_is_an_ancestor(connect: Connect, name: str, path: str) -> None:
    """What begins with a slash has no ancestor before that: the root of a file system has no name here."""
    peer = connect()
    leaf = path.format(name)
    peer.take(1, [leaf, "X"], tree=True)
    ancestors = {leaf[:position] for position, char in enumerate(leaf) if char == "/"} - {""}
    held = {each: peer.facts_of(request, each)["holders"] for request, each in enumerate(sorted(ancestors), start=2)}
    assert {each: entry["mode"] for each, [entry] in held.items()} == dict.fromkeys(ancestors, "IX")


def test_sixteen_levels_and_sixty_four_names(connect: Connect, name: str) -> None:
    peer = connect()
    deep = "/".join([f"{name} deep", *"bcdefghijklmnop"])
    peer.take(1, [deep, "X"], tree=True)
    assert peer.facts_of(2, deep)["holders_total"] == 1
    # 16 names of four levels, nothing in common: 64 names.
    peer.take(3, *([f"{name} {number}/b/c/d", "X"] for number in range(16)), tree=True)
