"""lockd/admin/: nobody but administrators gets near it, and nothing but their questions."""

from __future__ import annotations

import os
from random import Random

import msgpack
import pytest
from trio.testing import MockClock

from lockd.admin import connection as admin
from lockd.admin.answers import ANSWERS
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import TO_ADMIN, TO_DAEMON, encode
from lockd_wire.limits import UINT_MAX
from support.permissions import SOMEBODY, needs_root
from support.shell import Shell, Start, acquire, hello

HELLO = m.AdminHello(0, "lockd-admin", 1)


@needs_root
@pytest.mark.parametrize("first", [encode(HELLO), encode(m.Status(1)), b"garbage, and more than a header of it", b""])
async def test_a_stranger_is_turned_away_before_anything_it_sent_is_read(
    start: Start, first: bytes, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    shell = await _open_to_all(await start())

    def never(body: bytes) -> None:
        raise AssertionError(f"{body!r} was looked at")

    stranger = shell.connect_admin(uid=SOMEBODY)
    stranger.sends(first or b"\0")
    monkeypatch.setattr(TO_ADMIN, "decode", never)
    words = f"uid {SOMEBODY} is no administrator of this daemon (admin_socket.uids)"
    assert await stranger.hears() == [m.AdminFailed(0, "access_denied", words)]
    assert stranger.is_ended


@needs_root
async def test_a_uid_that_is_configured_is_let_in(start: Start, autojump_clock: MockClock) -> None:
    shell = await _open_to_all(await start(admin_socket__uids=f"{SOMEBODY}, 7"))
    peer = shell.connect_admin(uid=SOMEBODY)
    assert isinstance((await peer.asks(HELLO))[0], m.AdminWelcome)


@needs_root
async def test_the_uid_that_stands_for_strangers_is_nobody(start: Start, autojump_clock: MockClock) -> None:
    shell = await _open_to_all(await start())
    peer = shell.connect_admin(uid=65534)
    assert [answer.code for answer in await peer.hears()] == ["access_denied"]


async def _open_to_all(shell: Shell) -> Shell:
    """Let everybody connect whom the kernel would keep out, so that the daemon has to."""
    os.chmod(shell.directory, 0o711)
    os.chmod(shell.admin_socket, 0o666)
    return shell


CLIENT_MESSAGES: list[m.Message] = [
    hello(),
    m.Resume(0, limits.MAGIC, limits.VERSION, 1),
    m.Bye(1),
    acquire(1),
    m.Release(1, 1, True),
    m.Cancel(1, 1),
    m.Query(1, "db"),
    m.Convert(1, 1, "S", None, {}),
    m.HandOver(1, 1),
    m.Adopt(1, 1, "ticket"),
    m.Inherit(1, 1),
]
ADMIN_MESSAGES: list[m.Message] = [
    *(HELLO, m.Status(1), m.List(1, "", 0), m.Show(1, "db"), m.Sessions(1, 0)),
    *(m.Metrics(1, 0), m.Orders(1, 0)),
]


@pytest.mark.parametrize("is_welcomed", [True, False])
@pytest.mark.parametrize("message", CLIENT_MESSAGES, ids=lambda message: type(message).__name__)
async def test_what_clients_say_is_unknown_on_the_admin_socket(
    shell: Shell, message: m.Message, is_welcomed: bool, autojump_clock: MockClock
) -> None:
    peer = await shell.administrator() if is_welcomed else shell.connect_admin()
    [failed] = await peer.asks(message)
    assert (failed.id, failed.code) == (0, "protocol")
    assert "is not the type of a message that may come here" in failed.sentence
    assert peer.is_ended


@pytest.mark.parametrize("is_welcomed", [True, False])
@pytest.mark.parametrize("message", ADMIN_MESSAGES, ids=lambda message: type(message).__name__)
async def test_what_administrators_say_is_unknown_on_the_client_socket(
    shell: Shell, message: m.Message, is_welcomed: bool, autojump_clock: MockClock
) -> None:
    peer = await shell.welcomed() if is_welcomed else shell.connect()
    [failed] = await peer.asks(message)
    assert (failed.id, failed.code) == (0, "protocol")
    assert "is not the type of a message that may come here" in failed.sentence
    assert peer.is_ended


def test_the_tables_of_the_two_sockets_have_nothing_in_common() -> None:
    """What one can be made to decode, the other has no handler for."""
    assert TO_DAEMON.message_types == {type(message) for message in CLIENT_MESSAGES}
    assert TO_ADMIN.message_types == {type(message) for message in ADMIN_MESSAGES} == {m.AdminHello, *ANSWERS}


async def test_no_frame_on_the_client_socket_ever_reaches_an_administrators_handler(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Whatever the frame: every question is asked, whole, with fields too few and too many, and with other numbers."""
    reached = []
    monkeypatch.setattr(admin.AdminConnection, "received", lambda connection, message: reached.append(message))
    random = Random(1)
    fields = [0, 1, UINT_MAX, -1, 0.5, "", "db", "lockd-admin", None, True, [], [["db", "X"]], [[]]]
    frames = [msgpack.unpackb(encode(message)[4:]) for message in ADMIN_MESSAGES]
    frames += [[random.randrange(256), *random.choices(fields, k=random.randrange(6))] for _ in range(300)]
    frames += [[*frame, *random.choices(fields, k=2)] for frame in frames] + [frame[:-1] for frame in frames]
    for frame in frames:
        body = msgpack.packb(frame)
        peer = shell.connect()
        peer.sends(encode(hello()) * random.randrange(2) + len(body).to_bytes(4, "big") + body)
        await peer.hears()
        peer.hangs_up()
    assert reached == []
    # The control: there is somebody to be reached.
    assert await shell.connect_admin().asks(HELLO) == []
    assert reached == [HELLO]
