"""What can be asked for: modes, permits, several names, and the terms. A mistake is told where it is made."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import lockd_client
from lockd.core.modes import Mode, covers
from lockd_client import BadRequest, Client, Lock, NotOwner, RWLock, adopt, guarded, lock, lock_all, path_lock
from lockd_client import _modes as modes
from lockd_wire import messages as m
from support.judge import Judge
from support.scripted_daemon import ScriptedDaemon

WORDS = {"X": "exclusive", "SIX": "SIX", "U": "update", "S": "shared", "IX": "IX", "IS": "IS"}


def test_which_mode_is_as_good_as_which_is_what_the_daemon_says() -> None:
    for wanted in Mode:
        assert modes.AS_GOOD_AS[wanted.value] == {mode.value for mode in Mode if covers(mode, wanted)}
    assert set(modes.AS_GOOD_AS) == set(Mode)
    assert modes.covers("ZX", "ZX")
    assert not modes.covers("ZX", "S")
    assert not modes.covers("X", "ZX"), "of what only a newer daemon knows nothing is known"
    assert not modes.covers(None, "IS")


@pytest.mark.parametrize(("code", "word"), WORDS.items())
def test_the_words_of_the_modes(mine: Client, judge: Judge, code: str, word: str) -> None:
    for asked in {code, word}:
        handle = mine.lock("a", mode=asked)
        assert (handle.mode, handle.items) == (word, (("a", code),))
        with handle as grant:
            assert grant.mode == word
            judge.assert_agrees(mine)
    assert modes.word_of(code) == word
    assert modes.held(word).startswith("held ")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (lambda client: client.semaphore("p", 0), 'the limit of the semaphore "p" is to be a number from 1 on, not 0'),
        (lambda client: client.semaphore("p", True), "not True"),
        (lambda client: client.semaphore("p", 2.0), "not 2.0"),
        (lambda client: client.semaphore("p", 3, 0), 'the permits of the semaphore "p" is to be'),
        (lambda client: client.semaphore("p", 3, 4), 'the semaphore "p" has 3 permits, and 4 were asked for'),
        (lambda client: client.semaphore("p", 10**6 + 1), "1000000 are the most"),
        (lambda client: client.semaphore("", 3), 'the name "" is empty'),
        (lambda client: client.lock_all(), "no lock was named"),
        (lambda client: client.lock_all(*map(str, range(17))), "17 names are too many to be taken at once: 16"),
        (lambda client: client.lock_all("a", "b", ("a", "shared")), 'the name "a" was given more than once'),
        (lambda client: client.lock_all("a", 5), "5 cannot be locked: a name can"),
        (lambda client: client.lock_all(("a", "shared", 3, 4)), "cannot be locked"),
        (lambda client: client.lock_all(("a", "often")), "'often' is no mode of a lock: there is 'exclusive', 'SIX'"),
        (lambda client: client.lock_all(("a", 5)), "5 is no mode"),
        (lambda client: client.lock_all(("a", 5, 3)), "5 were asked for"),
        (lambda client: client.lock_all("a\0"), "control character"),
        (lambda client: client.lock("a", lease=-1), "a lease is a number of seconds from 0 on, not -1"),
        (lambda client: client.lock("a", lease=float("nan")), "not nan"),
        (lambda client: client.lock("a", lease=float("inf")), "not inf"),
        (lambda client: client.lock("a", lease="1"), "not '1'"),
        (lambda client: client.lock("a", lease=True), "not True"),
        (lambda client: client.rwlock("a", lease=-1), "a lease"),
        (lambda client: client.lock("a", mode=["shared"]), "is no mode"),
        (lambda client: client.adopt(b"ticket"), "a ticket is a text, not bytes"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(client: Client, daemon: ScriptedDaemon, asked: Any, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        asked(client)
    assert daemon.heard_of(m.Acquire) == []


@pytest.mark.parametrize("maker", ["lock", "rlock", "rwlock", "lock_all"])
@pytest.mark.parametrize("terms", [{"on_wait": 5}, {"on_yield": "f"}, {"on_lost": ()}, {"timeuot": 5}, {"permits": 2}])
def test_a_term_that_there_is_not(client: Client, maker: str, terms: Any) -> None:
    with pytest.raises(TypeError, match=r"is called, and .* cannot be|unexpected keyword argument"):
        getattr(client, maker)("a", **terms)


def test_what_is_sent(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.script = lambda session, message: (
        [m.Granted(message.id, 0, message.id, {})] if isinstance(message, m.Acquire) else None
    )
    handles = [
        client.semaphore("p", 5, 2, label="why"),
        client.rlock("a", mode="update"),
        client.lock("a/b", tree=True, lease=2.5),
        client.lock("a", on_wait=print, on_yield=print, on_lost=print),
        client.lock_all("a", ("b", "IX"), ("p", 1, 2), client.lock("c", mode="shared", label="gone"), timeout=3),
        client.rwlock("a", tree=True).update(),
    ]
    for handle in handles:
        with handle:
            pass
    assert [message[2:] for message in daemon.heard_of(m.Acquire)] == [
        ((("p", 2, 5),), None, {"label": "why"}),
        ((("a", "U"),), None, {"reentrant": True}),
        ((("a/b", "X"),), None, {"tree": True, "lease": 2.5}),
        ((("a", "X"),), None, {"wait_notice": True, "yield": True}),
        ((("a", "X"), ("b", "IX"), ("p", 1, 2), ("c", "S")), 3, {}),
        ((("a", "U"),), None, {"tree": True}),
    ]


def test_every_handle_pickles_as_one_that_is_not_held(module: Client) -> None:
    handles = [
        lockd_client.lock("a", mode="SIX", timeout=3, label="why", tree=True, lease=2.5, on_lost=print),
        lockd_client.rlock("a", timeout=None),
        lockd_client.semaphore("p", 5, 2),
        lockd_client.lock_all("a", ("b", "IX"), ("p", 1, 2), timeout=0),
        lockd_client.rwlock("a", lease=1).update(),
        lockd_client.path_lock("/etc/passwd"),
    ]
    for handle in handles:
        for twin in (pickle.loads(pickle.dumps(handle)), copy.copy(handle), copy.deepcopy(handle)):
            assert isinstance(twin, Lock)
            assert twin.items == handle.items
            assert twin._ask.terms() == handle._ask.terms()
            assert twin._ask.options == handle._ask.options
            assert twin.grant is None
    twin = pickle.loads(pickle.dumps(lockd_client.rwlock("a", lease=1, label="why")))
    assert isinstance(twin, RWLock)
    assert twin.read()._ask.terms() == lockd_client.rwlock("a", lease=1, label="why").read()._ask.terms()


def test_what_they_say_they_are(mine: Client, judge: Judge) -> None:
    several = mine.lock_all("a", ("b", "shared"), ("p", 2, 5))
    assert repr(several) == ('<lockd_client.Lock "a" exclusive, "b" shared and "p" 2 of 5 permits, not held>')
    with several as grant:
        assert repr(grant).startswith('<lockd_client.Grant "a" exclusive, "b" shared and "p" 2 of 5 permits, held, tok')
        assert (grant.name, grant.names, grant.mode) == ("a", ("a", "b", "p"), "exclusive")
        grant.convert("update")
        assert '"a" update, "b" update and "p" 2 of 5 permits' in repr(grant)
    with mine.semaphore("p", 5) as permit:
        assert (permit.mode, mine.semaphore("p", 5).mode) == ("", "")
        with pytest.raises(BadRequest, match="cannot be upgraded for a while"):
            permit.upgraded().__enter__()
    with mine.lock("a", mode="IX") as grant, pytest.raises(BadRequest, match="cannot be upgraded from IX to shared"):
        grant.upgraded("shared").__enter__()


def test_owned_by_modes(mine: Client, judge: Judge) -> None:
    for has in WORDS:
        with mine.lock("a", mode=has):
            for wanted in WORDS:
                assert mine.lock("a", mode=wanted).owned() is covers(Mode(has), Mode(wanted)), (has, wanted)
    with mine.lock("a", mode="update") as grant:
        assert not mine.lock("a").owned()
        with grant.upgraded():
            assert mine.lock("a").owned()
        assert not mine.lock("a").owned()


def test_owned_by_permits_names_and_trees(mine: Client, judge: Judge) -> None:
    with mine.semaphore("p", 5, 2):
        assert mine.semaphore("p", 5).owned()
        assert mine.semaphore("p", 5, 2).owned()
        assert not mine.semaphore("p", 5, 3).owned()
        assert not mine.semaphore("p", 6).owned()
        assert not mine.lock("p").owned()
    with mine.lock_all("a", ("b", "shared")):
        assert mine.lock_all(("b", "IS"), "a").owned()
        assert not mine.lock_all("a", "b").owned()
        assert not mine.lock_all("a", ("b", "shared"), "c").owned()
        assert not mine.semaphore("a", 1).owned()
        assert not mine.lock("a", tree=True).owned()
    with mine.lock("a/b", tree=True):
        assert mine.lock("a/b", tree=True).owned()
        assert mine.lock("a/b").owned()


def test_owned_until_the_last_release(mine: Client, judge: Judge) -> None:
    handle = mine.rlock("a")
    for entered in (1, 2):
        handle.acquire()
        assert (entered, handle.owned()) == (entered, True)
    handle.release()
    assert handle.owned()
    handle.release()
    assert not handle.owned()
    with pytest.raises(NotOwner):
        handle.release()


def test_guarded_methods_under_a_lock_that_may_be_taken_again(mine: Client, judge: Judge) -> None:
    class Base:
        def outer(self) -> str:
            return self.inner()

        def inner(self) -> str:
            return "done"

    handle = mine.rlock("a")
    subclass = guarded(Base, handle, methods=("outer", "inner"))
    with handle as grant:
        assert subclass().outer() == "done"
        grant.check()
    assert subclass().outer() == "done"
    judge.assert_agrees(mine)
    assert judge.holdings() == {}


def test_a_tree_is_not_forgotten() -> None:
    """Of a handle lock_all takes names and modes: without the tree, it would keep out nobody below."""
    with pytest.raises(BadRequest, match="tree=True"):
        lock_all(lock("db/x", tree=True), "log")
    assert lock_all(lock("db/x", tree=True), "log", tree=True).is_tree


def test_a_path_that_is_too_long_for_its_name_is_in_no_tree() -> None:
    assert path_lock("/" + "x" * 300).name.startswith("path-sha256:")
    with pytest.raises(BadRequest, match="too long"):
        path_lock("/" + "x" * 300, tree=True)


def test_a_timeout_is_a_number() -> None:
    wrong: Any = "5"
    for ask in (lambda: lock("a", timeout=wrong), lambda: lock("a").acquire(timeout=wrong)):
        with pytest.raises(TypeError, match="number of seconds"):
            ask()


@pytest.mark.parametrize("ticket", ["x" * 5000, "\ud800", "é", b"bytes", None])
def test_what_is_no_ticket(ticket: Any) -> None:
    with pytest.raises(BadRequest, match="ticket"):
        adopt(ticket)
