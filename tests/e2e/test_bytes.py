"""docs/protocol.md, sentence by sentence, with bytes alone: no library of ours on this side.

Each section of the page has its section here.
"""

from __future__ import annotations

import ast
import math
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import elsewhere, raw
from support.daemon import Daemon
from support.permissions import SOMEBODY, effective_uid, needs_root
from support.raw import (
    ACQUIRE,
    BYE,
    CANCEL,
    DONE,
    FAILED,
    FOREVER,
    GRANTED,
    HELLO,
    QUERY,
    RELEASE,
    STATE,
    STATUS,
    TRY,
    WELCOME,
    Raw,
    code_of,
    frame,
    frame_of_body,
)

from .conftest import Connect

UINT_MAX = 2**63 - 1

Stranger = Callable[[], Raw]


@pytest.fixture
def stranger(daemon: Daemon, closing: ExitStack) -> Stranger:
    """Connect to the client socket and say nothing."""
    return lambda: closing.enter_context(Raw(daemon.client_socket))


@pytest.fixture
def admin(daemon: Daemon, closing: ExitStack) -> Raw:
    return closing.enter_context(Raw.administrator(daemon.admin_socket))


# 1. Transport and frames


def test_a_whole_dialogue_in_hexadecimal(stranger: Stranger) -> None:
    """No encoder at all: the bytes of a first lock, as one would type them."""
    peer = stranger()
    # [1, 0, "lockd", 1, "sh", []]
    peer.send_bytes(bytes.fromhex("0000000e 96 01 00 a5 6c6f636b64 01 a2 7368 90"))
    length = struct.unpack(">I", peer.sock.recv(4))[0]
    # An array of 8: 33, 0, 0, 1, then the session.
    assert peer.sock.recv(length)[:5].hex() == "9821000001"
    # [4, 1, 1, [["hex", "X"]], nil, []]
    peer.send_bytes(bytes.fromhex("0000000e 96 04 01 01 91 92 a3 686578 a1 58 c0 90"))
    granted = peer.sock.recv(100)
    # [34, 1, 1, token, {}], and each number is an unsigned integer of 64 bits.
    one = "cf0000000000000001"
    assert granted.hex().startswith(f"0000001e9522{one}{one}cf")
    assert granted.hex().endswith("80")
    token = granted[25:33]
    # [5, 2, token, true] is answered by [36, 2, 2].
    peer.send_bytes(bytes.fromhex("0000000d 94 05 02 cf") + token + bytes.fromhex("c3"))
    assert peer.sock.recv(100).hex() == "0000000493240202"
    # [3, 3] is answered by the end.
    peer.send_bytes(bytes.fromhex("00000003 92 03 03"))
    assert peer.sock.recv(100) == b""


def test_frames_may_come_in_any_pieces(stranger: Stranger, name: str) -> None:
    peer = stranger()
    for byte in frame(HELLO, 0, "lockd", 1, "", []) + frame(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, []):
        peer.send_bytes(bytes([byte]))
    assert [peer.receive()[0], peer.receive()[0]] == [WELCOME, GRANTED]


def test_any_encoding_of_msgpack_will_do(stranger: Stranger, name: str) -> None:
    """Integers, strings and arrays may be written longer than they need be."""
    peer = stranger()
    peer.send_bytes(
        # [1, 0, "lockd", 1, "", []] with an array 16, an uint 64, a str 8, an uint 8, a str 16 and an array 32
        frame_of_body(bytes.fromhex("dc0006 01 cf0000000000000000 d9056c6f636b64 cc01 da0000 dd00000000"))
    )
    assert peer.receive()[0] == WELCOME
    peer.send_bytes(frame(ACQUIRE, 1, 1, [[name, "X"]], 0.0, []))
    assert peer.receive()[0] == GRANTED


BROKEN = {
    "a body of 0 bytes": frame_of_body(b""),
    "a body of 8193 bytes": (8193).to_bytes(4, "big"),
    "an array of 33": frame(QUERY, 1, *["x"] * 31),
    "a string of 1025 bytes": frame(QUERY, 1, "x" * 1025),
    "text that is no UTF-8": frame_of_body(bytes.fromhex("930701a1ff")),
    "bin": frame(QUERY, 1, b"db"),
    "ext": frame_of_body(bytes.fromhex("930701d40100")),
    "a map": frame(ACQUIRE, 1, 1, [["db", "X"]], None, {"label": "x"}),
    "something behind the array": frame_of_body(bytes.fromhex("930701a161c0")),
    "no array": frame_of_body(bytes.fromhex("a161")),
    "an unknown type": frame(11, 1),
    "a type that is no integer": frame("7", 1, "db"),
    "a field too few": frame(QUERY, 1),
    "a field too many": frame(QUERY, 1, "db", 1),
    "a text for an uint": frame(QUERY, "1", "db"),
    "a bool for an uint": frame(QUERY, True, "db"),
    "a float for an uint": frame(QUERY, 1.0, "db"),
    "a negative uint": frame(CANCEL, 1, -1),
    "an uint beyond the bound": frame(CANCEL, 1, 2**63),
    "an uint for a bool": frame(RELEASE, 1, 1, 1),
    "an uint for a text": frame(QUERY, 1, 7),
    "nil for a text": frame(QUERY, 1, None),
    "an infinite timeout": frame(ACQUIRE, 1, 1, [["db", "X"]], math.inf, []),
    "a timeout that is no number": frame(ACQUIRE, 1, 1, [["db", "X"]], math.nan, []),
    "a negative timeout": frame(ACQUIRE, 1, 1, [["db", "X"]], -1, []),
    "a timeout beyond the bound": frame(ACQUIRE, 1, 1, [["db", "X"]], 10**9 + 1, []),
    "an item that is no pair": frame(ACQUIRE, 1, 1, [["db"]], None, []),
    "an item that is a name": frame(ACQUIRE, 1, 1, ["db"], None, []),
    "an option that is no pair": frame(ACQUIRE, 1, 1, [["db", "X"]], None, [["label"]]),
    "an option that is an array": frame(ACQUIRE, 1, 1, [["db", "X"]], None, [["label", []]]),
    "an option whose key is no text": frame(ACQUIRE, 1, 1, [["db", "X"]], None, [[1, "x"]]),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_protocol_error_is_told_and_ends_the_connection(connect: Connect, broken: bytes) -> None:
    bystander, peer = connect(), connect()
    peer.send_bytes(broken)
    kind, id, covered, code, sentence, facts = peer.receive()
    assert (kind, id, covered, code, facts) == (FAILED, 0, 0, "protocol", {})
    assert 0 < len(sentence.encode()) <= 1024
    assert sentence.isprintable()
    assert peer.is_ended()
    bystander.pong(1)


def test_the_bounds_can_be_reached(connect: Connect) -> None:
    peer = connect("p" * 64)
    name, label = "n" * 255, "l" * 256
    assert peer.ask(ACQUIRE, 1, UINT_MAX, [[name, "X"]], 10**9, [["label", label]])[0] == GRANTED
    holder = peer.ask(QUERY, UINT_MAX, name)[3]["holders"][0]
    assert (holder["program"], holder["label"]) == ("p" * 64, label)


def test_of_an_option_that_comes_twice_the_last_counts(connect: Connect, name: str) -> None:
    peer = connect()
    assert peer.ask(ACQUIRE, 1, 1, [[name, "X"]], TRY, [["label", "one"], ["label", "two"]])[0] == GRANTED
    assert peer.ask(QUERY, 2, name)[3]["holders"][0]["label"] == "two"


# 2. Order of things


def test_requests_are_answered_in_the_order_in_which_they_get_settled(connect: Connect, name: str) -> None:
    holder, peer = connect(), connect()
    token = holder.acquire(1, name)
    peer.send(ACQUIRE, 10, 1, [[name, "X"]], FOREVER, [])
    peer.send(QUERY, 20, name)
    peer.send(QUERY, 30, name)
    assert [peer.receive()[:3], peer.receive()[:3]] == [[STATE, 20, 20], [STATE, 30, 30]]
    holder.send(RELEASE, 2, token, False)
    # Id of the request, and all that has been handled by now.
    assert peer.receive()[:3] == [GRANTED, 10, 30]


@pytest.mark.parametrize("second", [0, 4, 5])
def test_ids_rise(connect: Connect, second: int) -> None:
    peer = connect()
    peer.pong(5)
    answer = peer.ask(QUERY, second, "db")
    assert (answer[1], answer[2], code_of(answer)) == (0, 5, "protocol")
    assert peer.is_ended()


def test_the_end_of_a_connection_is_not_the_end_of_the_session(connect: Connect, admin: Raw, name: str) -> None:
    holder, other = connect(), connect()
    token = holder.acquire(1, name)
    holder.close()
    answer = other.ask(ACQUIRE, 1, 1, [[name, "X"]], 0.05, [])
    assert code_of(answer) == "timeout"
    [entry] = answer[5]["holders"]
    assert (entry["token"], entry["attached"], entry["pid"]) == (token, False, os.getpid())
    assert admin.ask(STATUS, 1)[2]["detached"] >= 1


def test_a_detached_session_with_nothing_ends_at_once(connect: Connect, admin: Raw, name: str) -> None:
    before = admin.ask(STATUS, 1)[2]["sessions"]
    idle = connect()
    token = idle.acquire(1, name)
    idle.send(RELEASE, 2, token, False)
    idle.close()
    other = connect()
    other.pong(1)
    assert admin.ask(STATUS, 2)[2]["sessions"] == before + 1


def test_who_the_peer_is_no_message_says(connect: Connect, name: str) -> None:
    peer = connect("root@elsewhere")
    peer.acquire(1, name)
    [entry] = peer.ask(QUERY, 2, name)[3]["holders"]
    assert (entry["pid"], entry["uid"], entry["program"]) == (os.getpid(), os.getuid(), "root@elsewhere")


# 3. From client to daemon: HELLO


@pytest.mark.parametrize(
    ("hello", "code", "facts"),
    [
        ((HELLO, 0, "dlocks", 1, "", []), "protocol", {}),
        ((HELLO, 1, "lockd", 1, "", []), "protocol", {}),
        ((HELLO, 0, "lockd", 2, "", []), "version", {"supported": 1}),
        ((HELLO, 0, "lockd", 1, "p" * 65, []), "protocol", {}),
        ((HELLO, 0, "lockd", 1, "\n", []), "protocol", {}),
        ((HELLO, 0, "lockd", 1, "", [["resume", True]]), "protocol", {}),
        ((HELLO, 0, "lockd", 1, "", [["release_on_eof", "yes"]]), "protocol", {}),
    ],
)
def test_a_hello_that_is_refused(stranger: Stranger, hello: tuple[object, ...], code: str, facts: object) -> None:
    peer = stranger()
    kind, id, covered, told, sentence, given = peer.ask(*hello)
    assert (kind, id, covered, told, given) == (FAILED, hello[1], 0, code, facts)
    assert sentence
    assert peer.is_ended()


def test_something_else_than_hello(stranger: Stranger) -> None:
    peer = stranger()
    assert code_of(peer.ask(QUERY, 1, "db")) == "protocol"
    assert peer.is_ended()


def test_a_second_hello(connect: Connect, name: str) -> None:
    peer, other = connect(), connect()
    peer.acquire(1, name)
    answer = peer.ask(HELLO, 0, "lockd", 1, "", [])
    assert (answer[:3], code_of(answer)) == ([FAILED, 0, 1], "protocol")
    assert peer.is_ended()
    # What the session holds is still held.
    assert code_of(other.ask(ACQUIRE, 1, 1, [[name, "X"]], TRY, [])) == "timeout"


def test_a_program_that_does_not_say_what_it_is_called(connect: Connect, name: str) -> None:
    peer = connect("")
    peer.acquire(1, name)
    called = Path("/proc/self/comm").read_text().rstrip("\n")
    assert peer.ask(QUERY, 2, name)[3]["holders"][0]["program"] == called


@pytest.mark.parametrize(("option", "code"), [(True, None), (False, "timeout")])
def test_release_on_eof(connect: Connect, name: str, option: bool, code: str | None) -> None:
    holder, other = connect(release_on_eof=option), connect()
    holder.acquire(1, name)
    holder.close()
    answer = other.ask(ACQUIRE, 1, 1, [[name, "X"]], 0.05 if code else FOREVER, [])
    assert answer[0] == GRANTED if code is None else code_of(answer) == code


# ACQUIRE


def test_exclusive_and_shared(connect: Connect, name: str) -> None:
    one, two, three = connect(), connect(), connect()
    one.acquire(1, name, "S")
    two.acquire(1, name, "S")
    assert code_of(three.ask(ACQUIRE, 1, 1, [[name, "X"]], TRY, [])) == "timeout"
    three.send(ACQUIRE, 2, 1, [[name, "X"]], FOREVER, [])
    three.pong(3)
    # Fair: a shared one does not overtake.
    assert code_of(two.ask(ACQUIRE, 2, 2, [[name, "S"]], TRY, [])) == "timeout"
    one.send(BYE, 2)
    two.send(BYE, 3)
    assert three.receive()[:2] == [GRANTED, 2]


def test_what_one_owner_holds_is_not_in_the_way_of_the_same_owner_and_of_another_it_is(
    connect: Connect, name: str
) -> None:
    peer = connect()
    peer.acquire(1, name, "S", owner=7)
    peer.acquire(2, name, "S", owner=7)
    assert code_of(peer.ask(ACQUIRE, 3, 8, [[name, "X"]], TRY, [])) == "timeout"


def test_an_owner_that_would_wait_for_itself_is_told_so(connect: Connect, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name, owner=7)
    for request, timeout in enumerate((FOREVER, 5, TRY), start=2):
        answer = peer.ask(ACQUIRE, request, 7, [[name, "X"]], timeout, [])
        assert code_of(answer) == "deadlock"
        facts = answer[5]
        assert (facts["name"], facts["cycle_total"]) == (name, 1)
        [step] = facts["cycle"]
        assert step["seconds"] >= 0
        assert (step["name"], step["pid"], step["blocker_pid"]) == (name, os.getpid(), os.getpid())
    # What it held is still held.
    assert [entry["token"] for entry in peer.ask(QUERY, 20, name)[3]["holders"]] == [token]


REFUSED: list[tuple[object, object]] = [
    ([], []),
    ([["a", "X"], ["a", "S"]], []),
    ([["", "X"]], []),
    ([["n" * 256, "X"]], []),
    ([["tab\t", "X"]], []),
    ([["line\u2028", "X"]], []),
    ([["paragraph\u2029", "X"]], []),
    ([["\u202e", "X"]], []),
    # é as two characters
    ([["e\u0301", "X"]], []),
    ([["db", "NL"]], []),
    ([["db", "x"]], []),
    ([["db", "X"]], [["label", "l" * 257]]),
    ([["db", "X"]], [["label", "\x1b"]]),
    ([["db", "X"]], [["label", 1]]),
    ([["db", "X"]], [["lease", -1]]),
    ([["db", "X"]], [["priority", 30]]),
]


@pytest.mark.parametrize(("items", "options"), REFUSED)
def test_an_acquire_that_cannot_be(connect: Connect, items: object, options: object) -> None:
    peer = connect()
    kind, id, covered, code, sentence, facts = peer.ask(ACQUIRE, 1, 1, items, FOREVER, options)
    assert (kind, id, covered, code, facts) == (FAILED, 1, 1, "bad_request", {})
    assert sentence.isprintable()
    # The connection goes on.
    peer.pong(2)


def test_names_are_compared_byte_for_byte(connect: Connect) -> None:
    one, other = connect(), connect()
    one.acquire(1, "Name")
    for request, name in enumerate(("name", "Name ", " Name", "Nam\N{CYRILLIC SMALL LETTER IE}"), start=1):
        other.acquire(request, name)


def test_a_timeout_tells_who_is_in_the_way(connect: Connect, name: str) -> None:
    holder, first, second = connect("holder"), connect(), connect()
    assert holder.ask(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [["label", "nightly"]])[0] == GRANTED
    first.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    first.pong(2)
    kind, id, covered, code, sentence, facts = second.ask(ACQUIRE, 1, 1, [[name, "S"]], 0.05, [])
    assert (kind, id, covered, code) == (FAILED, 1, 1, "timeout")
    assert facts.keys() == {"name", "holders", "holders_total", "waiters_total", "position", "waited_seconds"}
    assert (facts["name"], facts["holders_total"], facts["waiters_total"], facts["position"]) == (name, 1, 2, 2)
    assert facts["waited_seconds"] >= 0.05
    [entry] = facts["holders"]
    assert entry.pop("held_seconds") >= 0.05
    assert entry.pop("token") > 0
    assert entry == {
        **{"pid": os.getpid(), "uid": os.getuid(), "program": "holder"},
        **{"label": "nightly", "mode": "X", "permits": 0, "attached": True},
    }
    assert f'pid {os.getpid()} (holder, "nightly")' in sentence
    # Nothing is queued any more.
    assert second.ask(QUERY, 2, name)[3]["waiters_total"] == 1


def test_a_try_is_never_queued(connect: Connect, name: str) -> None:
    holder, other = connect(), connect()
    token = holder.acquire(1, name)
    for request, timeout in ((1, 0), (2, 0.0)):
        answer = other.ask(ACQUIRE, request, 1, [[name, "X"]], timeout, [])
        assert code_of(answer) == "timeout"
        # The place it would have had.
        assert (answer[5]["position"], answer[5]["waited_seconds"], answer[5]["waiters_total"]) == (1, 0, 0)
    holder.send(RELEASE, 2, token, True)
    assert holder.receive()[0] == DONE
    assert other.acquire(3, name, timeout=TRY) > token


def test_of_many_holders_the_first_four_are_told(connect: Connect, name: str) -> None:
    holders = [connect(f"holder {place}") for place in range(6)]
    for holder in holders:
        holder.acquire(1, name, "S")
    facts = connect().ask(ACQUIRE, 1, 1, [[name, "X"]], TRY, [])[5]
    assert [entry["program"] for entry in facts["holders"]] == [f"holder {place}" for place in range(4)]
    assert facts["holders_total"] == 6


# RELEASE


def test_a_release_is_answered_if_that_is_wanted(connect: Connect, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    assert peer.ask(RELEASE, 2, token, True) == [DONE, 2, 2]
    assert peer.ask(QUERY, 3, name)[3]["holders_total"] == 0


def test_a_release_without_an_answer_comes_before_whatever_is_sent_next(connect: Connect, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    peer.send_bytes(frame(RELEASE, 2, token, False) + frame(ACQUIRE, 3, 2, [[name, "X"]], TRY, []))
    assert peer.receive()[:3] == [GRANTED, 3, 3]


def test_a_release_may_be_repeated_and_concerns_nobody_elses_grant(connect: Connect, name: str) -> None:
    peer, other = connect(), connect()
    token = peer.acquire(1, name)
    assert other.ask(RELEASE, 1, token, True) == [DONE, 1, 1]
    assert other.ask(QUERY, 2, name)[3]["holders_total"] == 1
    assert peer.ask(RELEASE, 2, token, True) == [DONE, 2, 2]
    assert peer.ask(RELEASE, 3, token, True) == [DONE, 3, 3]
    assert peer.ask(RELEASE, 4, UINT_MAX, True) == [DONE, 4, 4]


# CANCEL


def test_a_cancelled_waiter_leaves_its_queue(connect: Connect, name: str) -> None:
    holder, waiter, last = connect(), connect(), connect()
    token = holder.acquire(1, name)
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    waiter.pong(2)
    last.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    kind, id, covered, code, _, facts = waiter.ask(CANCEL, 3, 1)
    assert (kind, id, covered, code, facts) == (FAILED, 1, 3, "cancelled", {})
    holder.send(RELEASE, 2, token, False)
    assert last.receive()[0] == GRANTED


def test_a_cancel_of_what_was_granted_releases_it(connect: Connect, name: str) -> None:
    peer = connect()
    peer.acquire(1, name)
    # It has had its answer, and CANCEL has none.
    peer.send(CANCEL, 2, 1)
    assert peer.ask(QUERY, 3, name)[3]["holders_total"] == 0


@pytest.mark.parametrize("request_id", [0, 1, 2, 99, UINT_MAX])
def test_a_cancel_of_what_is_over_or_never_was_does_nothing(connect: Connect, name: str, request_id: int) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    assert peer.ask(RELEASE, 2, token, True)[0] == DONE
    peer.acquire(3, name)
    peer.send(CANCEL, 4, request_id)
    assert peer.ask(QUERY, 5, name)[3]["holders_total"] == 1


# QUERY


def test_a_query_tells_who_holds_and_how_many_wait(connect: Connect, name: str) -> None:
    holder, waiter, asking = connect("holder"), connect(), connect()
    nobody = {"name": name, "holders": [], "holders_total": 0, "waiters_total": 0}
    assert asking.ask(QUERY, 1, name) == [STATE, 1, 1, nobody]
    token = holder.acquire(1, name, "S")
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    waiter.pong(2)
    facts = asking.ask(QUERY, 2, name)[3]
    assert (facts["holders_total"], facts["waiters_total"]) == (1, 1)
    [entry] = facts["holders"]
    assert (entry["program"], entry["mode"], entry["token"], entry["label"]) == ("holder", "S", token, "")


def test_a_query_for_a_name_that_cannot_be(connect: Connect) -> None:
    peer = connect()
    answer = peer.ask(QUERY, 1, "")
    assert (answer[:3], code_of(answer)) == ([FAILED, 1, 1], "bad_request")
    peer.pong(2)


# BYE


def test_bye_frees_everything_and_ends_the_connection(connect: Connect, name: str) -> None:
    peer, waiter = connect(), connect()
    peer.acquire(1, name)
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    waiter.pong(2)
    # What follows is nobody's.
    peer.send_bytes(frame(BYE, 2) + frame(ACQUIRE, 3, 1, [[f"{name} too", "X"]], FOREVER, []))
    assert peer.is_ended()
    assert waiter.receive()[:2] == [GRANTED, 1]
    assert waiter.ask(QUERY, 3, f"{name} too")[3]["holders_total"] == 0


# 4. From daemon to client: WELCOME, GRANTED


def test_welcome(stranger: Stranger) -> None:
    first, second = stranger(), stranger()
    kind, id, covered, version, session, epoch, limits, features = first.ask(HELLO, 0, "lockd", 1, "", [])
    assert (kind, id, covered, version, features) == (WELCOME, 0, 0, 1, [])
    assert limits == {"frame_bytes_max": 8192, "name_bytes_max": 255, "label_bytes_max": 256, "items_max": 16}
    assert 0 < epoch < 2**31
    assert second.ask(HELLO, 0, "lockd", 1, "", [])[4] > session


def test_tokens_rise_whatever_the_name_and_have_the_epoch_in_their_upper_bits(stranger: Stranger, name: str) -> None:
    peer = stranger()
    epoch = peer.ask(HELLO, 0, "lockd", 1, "", [])[5]
    tokens = [peer.acquire(number, f"{name} {number}") for number in range(1, 50)]
    assert tokens == sorted(set(tokens))
    assert {token >> 32 for token in tokens} == {epoch}
    answer = peer.ask(ACQUIRE, 50, 1, [[name, "X"]], FOREVER, [])
    assert answer == [GRANTED, 50, 50, answer[3], {}]


# 5. Bounds that a client meets. (What takes a minute or fills a socket is in tests/daemon and test_bad_input.)


@needs_root
def test_quotas_are_counted_by_uid(runtime_dir: Path, closing: ExitStack) -> None:
    config = runtime_dir / "lockd.toml"
    config.write_text(
        '[client_socket]\nmode = "0666"\n'
        "[quotas]\nsessions_per_uid_max = 2\ngrants_per_uid_max = 2\nwaiters_per_uid_max = 1\n"
    )
    runtime_dir.chmod(0o711)
    with Daemon(runtime_dir, "--config", str(config)) as daemon:
        one, two = (closing.enter_context(Raw.welcomed(daemon.client_socket)) for _ in range(2))
        with closing.enter_context(Raw(daemon.client_socket)) as third:
            answer = third.ask(HELLO, 0, "lockd", 1, "", [])
            assert (answer[:3], code_of(answer)) == ([FAILED, 0, 0], "quota")
            assert third.is_ended()
        one.acquire(1, "a")
        two.send(ACQUIRE, 1, 1, [["a", "X"]], FOREVER, [])
        two.pong(2)
        # A waiter counts as a grant: it may become one.
        assert code_of(one.ask(ACQUIRE, 2, 1, [["b", "X"]], FOREVER, [])) == "quota"
        with effective_uid(SOMEBODY):
            other = closing.enter_context(Raw.welcomed(daemon.client_socket))
        other.acquire(1, "b")
        assert code_of(two.ask(ACQUIRE, 3, 2, [["b", "X"]], FOREVER, [])) == "quota"
        two.send(CANCEL, 4, 1)
        assert code_of(two.receive()) == "cancelled"
        two.acquire(5, "c")


# And that there is no library of ours on this side.

MODEL = sorted(Path(__file__).parent.glob("test_model_*.py"))


@pytest.mark.parametrize(
    "path",
    [*sorted(Path(__file__).parent.glob("test_bytes*.py")), *MODEL, Path(raw.__file__), Path(elsewhere.__file__)],
    ids=lambda path: path.name,
)
def test_nothing_here_knows_the_library(path: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.name for node in nodes for alias in node.names} | {
        getattr(node, "module", None) for node in nodes
    }
    assert "__future__" in imported, "the control: imports are seen"
    assert not [name for name in imported if name and name.startswith(("lockd_wire", "lockd_client"))]
