"""lockd/admin/: nobody but administrators gets near it, and nothing but their questions."""

from __future__ import annotations

import grp
import os
from random import Random

import msgpack
import pytest
import trio
from trio.testing import MockClock

from lockd.admin import connection as admin
from lockd.admin.answers import ANSWERS, CHANGES
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import TO_ADMIN, TO_DAEMON, encode
from lockd_wire.limits import UINT_MAX
from support.onlookers import fields_of
from support.permissions import SOMEBODY, SOMEBODY_ELSE, groups, needs_root
from support.shell import Shell, Start, acquire, hello

HELLO = m.AdminHello(0, "lockd-admin", 1)


@needs_root
@pytest.mark.parametrize("first", [encode(HELLO), encode(m.Status(1)), b"garbage, and more than a header of it", b""])
async def test_a_stranger_is_turned_away_before_anything_it_sent_is_read(
    start: Start,
    first: bytes,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
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
    assert fields_of(caplog.records[-1]) == {"event": "turned_away", "pid": os.getpid(), "uid": SOMEBODY}


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


#: A group of this machine.
READERS = next(group for group in grp.getgrall() if group.gr_gid not in (0, os.getegid(), 65534, *os.getgroups()))


@needs_root
@pytest.mark.parametrize("gids", [(READERS.gr_gid,), (SOMEBODY, SOMEBODY_ELSE, READERS.gr_gid)])
async def test_a_member_of_the_group_may_look_and_change_nothing(
    start: Start, gids: tuple[int, ...], autojump_clock: MockClock
) -> None:
    shell = await start(admin_socket__group=READERS.gr_name)
    os.chmod(shell.directory, 0o711)
    status = os.stat(shell.admin_socket)
    assert (status.st_mode & 0o777, status.st_gid) == (0o660, READERS.gr_gid)
    with groups(*gids):
        reader = shell.connect_admin(uid=SOMEBODY)
    holder = await shell.welcomed()
    [token] = await holder.granted(acquire(1))
    looks: list[m.AdminRequest] = [
        *(m.Status(1), m.List(2, "", 0, {}), m.Show(3, "db"), m.Sessions(4, 0), m.Graph(5, 0), m.History(6, "db", 0)),
        *(m.Watch(7, ""), m.Metrics(8, 0), m.Orders(9, 0)),
    ]
    assert {type(look) for look in looks} == set(ANSWERS) - CHANGES
    welcome, *answers = await reader.asks(HELLO, *looks)
    assert isinstance(welcome, m.AdminWelcome)
    while len(answers) < len(looks):
        # The first metrics take a thread some time.
        await trio.sleep(1)
        answers += await reader.hears()
    assert sorted(answer.id for answer in answers) == [look.id for look in looks]
    assert not any(isinstance(answer, m.AdminFailed) for answer in answers)
    # Whatever changes something is refused, and so is the question what it would be. The conversation goes on.
    breaks = m.Break(10, "db", 0, "why", {}), m.Break(11, "db", 0, "why", {"dry_run": True})
    *refused, answer = await reader.asks(*breaks, m.Status(12))
    assert [(each.id, each.code) for each in refused] == [(10, "access_denied"), (11, "access_denied")]
    assert refused[0].sentence.startswith("members of admin_socket.group may look at everything and change nothing")
    assert (answer.id, answer.facts["grants"]) == (12, 1)
    administrator = await shell.administrator()
    [report] = await administrator.asks(m.Break(1, "", token, "why", {}))
    assert report.facts["grants_total"] == 1


@needs_root
@pytest.mark.parametrize(
    ("uid", "gids"),
    [(SOMEBODY, (SOMEBODY,)), (SOMEBODY, (65534, 65534)), (65534, (READERS.gr_gid, READERS.gr_gid))],
)
async def test_nobody_else_may_look(start: Start, uid: int, gids: tuple[int, ...], autojump_clock: MockClock) -> None:
    shell = await _open_to_all(await start(admin_socket__group=READERS.gr_name))
    with groups(*gids):
        peer = shell.connect_admin(uid=uid)
    words = f"uid {uid} is no administrator of this daemon (admin_socket.uids) and no member of {READERS.gr_name}"
    assert await peer.asks(HELLO) == [m.AdminFailed(0, "access_denied", f"{words} (admin_socket.group)")]
    assert peer.is_ended


@needs_root
async def test_without_a_group_nobody_is_in_it(start: Start, autojump_clock: MockClock) -> None:
    shell = await start()
    assert os.stat(shell.admin_socket).st_mode & 0o777 == 0o600
    peer = (await _open_to_all(shell)).connect_admin(uid=SOMEBODY)
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
    *(HELLO, m.Status(1), m.List(1, "", 0, {}), m.Show(1, "db"), m.Sessions(1, 0)),
    *(m.Graph(1, 0), m.History(1, "db", 0), m.Watch(1, ""), m.Break(1, "db", 0, "why", {"all": True})),
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
