"""A process of a crash campaign: takes locks in the way of its role, at random, and notes what happens to it.

    python -m support.crash_client ROLE PROCESS SEED NOTES

It goes on until a line comes over standard input, and then says that it holds nothing and that the daemon has heard so.
It exits when standard input ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Final

import lockd_client
from lockd_client import DaemonUnavailable, DeadlockDetected, Grant, Lock, LockError, LockTimeout

from .contender import Interrupts
from .crash_history import DEADLOCK, EXCLUSIVE, GRANTED, INTERRUPTED, REFUSED, SHARED, UPDATE, Item, line_of

NAMES: Final = ("accounts", "cache", "index", "log", "mail", "queue")
POOL: Final = "pool"
POOL_LIMIT: Final = 3

#: What is said to it, and what it says when it has come to its end.
FINISH: Final = b"finish\n"
IDLE: Final = b"idle\n"

_TIMEOUTS_SECONDS: Final = (0.0, 0.0, 0.002, 0.02, 0.1)
_CONVERSION_SECONDS: Final = 0.5
#: After this long, on average, a wait is interrupted by an alarm.
_ALARM_SECONDS: Final = 0.02
#: How long somebody holds something and rests without, at most; and how long, now and then, through a kill.
_HOLD_SECONDS_MAX: Final = 0.004
_REST_SECONDS_MAX: Final = 0.06
_LONG_SECONDS_MAX: Final = 0.4
_LONG_PROBABILITY: Final = 0.02
_CHECK_PROBABILITY: Final = 0.1
_RETRY_SECONDS: Final = 0.01


class Diary:
    """The notes of a process, for all its threads."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._mutex = threading.Lock()
        self._last = 0

    def begin(self, items: tuple[Item, ...], timeout: float | None) -> int:
        """Note that something is about to be asked for, and return its number."""
        with self._mutex:
            self._last = number = self._last + 1
        self.note("ask", number, items, timeout)
        return number

    def note(self, kind: str, number: int, *facts: object) -> None:
        """Note something: it is in the file when this returns."""
        os.write(self._descriptor, line_of(kind, time.monotonic_ns(), number, *facts).encode())


class Visitor:
    """A thread that asks for things, holds them and gives them back."""

    def __init__(self, diary: Diary, random: Random, interrupts: Interrupts | None = None) -> None:
        self.random = random
        self._diary = diary
        #: In the main thread alone signals are handled.
        self._interrupts = interrupts

    def visit(
        self,
        make: Callable[..., Lock],
        *items: Item,
        timeout: float | None = None,
        use: Callable[[int, Grant], None] | None = None,
        alarm: bool = False,
        give_back: Callable[[], None] | None = None,
    ) -> None:
        """Ask for ``items`` with the handle that ``make`` makes, and do something with it if it is granted. It is given
        back by ``give_back``, or else released."""
        number = self._diary.begin(items, timeout)
        handle = make(on_wait=lambda wait: self._diary.note("waits", number))
        outcome = self._outcome(lambda: self._acquire(handle, timeout), alarm)
        grant = handle.grant
        if grant is None:
            self._diary.note("answer", number, REFUSED if outcome == GRANTED else outcome)
            return
        # Even if an interrupt came when the call was over and its result on the way.
        self._diary.note("answer", number, GRANTED, grant.token)
        try:
            self.hold()
            if use is not None:
                use(number, grant)
            if self.random.random() < _CHECK_PROBABILITY:
                grant.check()
            self._diary.note("release", number)
            if give_back is not None:
                give_back()
            else:
                handle.release()
        except LockError as error:
            self._diary.note("complaint", number, _described(error))
        self._diary.note("released", number)

    def convert(self, number: int, grant: Grant, mode: str, timeout: float | None, alarm: bool = False) -> bool:
        """Convert a grant, and return whether it has the new mode."""
        self._diary.note("convert", number, mode)
        outcome = self._outcome(lambda: grant.convert(mode, timeout), alarm)
        if outcome.startswith(DeadlockDetected.__name__):
            # Another holder converts as well. Nothing else here can make a circle.
            outcome = DEADLOCK
        self._diary.note("converted", number, outcome)
        return outcome == GRANTED

    def enter(self, number: int, handle: Lock, depth: int) -> None:
        """Take what is held once more, ``depth`` times, and give that back."""
        if depth:
            with handle as grant:
                self._diary.note("entry", number, grant.token)
                self.enter(number, handle, depth - 1)

    def hold(self) -> None:
        """Be busy with it."""
        is_long = self.random.random() < _LONG_PROBABILITY
        time.sleep(self.random.random() * (_LONG_SECONDS_MAX if is_long else _HOLD_SECONDS_MAX))

    def _acquire(self, handle: Lock, timeout: float | None) -> None:
        if timeout == 0:
            handle.acquire(blocking=False)
        else:
            handle.acquire(timeout=timeout)

    def _outcome(self, call: Callable[[], object], alarm: bool) -> str:
        interrupts = self._interrupts if alarm else None
        failure: LockError | None = None
        if interrupts is not None:
            signal.setitimer(signal.ITIMER_REAL, self.random.expovariate(1 / _ALARM_SECONDS))
        try:
            if interrupts is not None:
                interrupts.are_wanted = True
            call()
        except KeyboardInterrupt:
            return INTERRUPTED
        except LockError as error:
            failure = error
        finally:
            # Python looks for signals where a function begins, not where it ends: none is noticed before this line.
            if interrupts is not None:
                interrupts.are_wanted = False
        if failure is None:
            return GRANTED
        return REFUSED if isinstance(failure, LockTimeout) else _described(failure)


def _described(error: LockError) -> str:
    return f"{type(error).__name__}: {error}"


def _lock(visitor: Visitor, mode: str) -> tuple[Callable[..., Lock], Item]:
    name = visitor.random.choice(NAMES)
    return lambda **terms: lockd_client.lock(name, mode=mode, **terms), Item(name, mode)


def exclusive(visitor: Visitor) -> None:
    visitor.visit(*_lock(visitor, EXCLUSIVE))


def shared(visitor: Visitor) -> None:
    visitor.visit(*_lock(visitor, SHARED))


def semaphore(visitor: Visitor) -> None:
    permits = visitor.random.randint(1, 2)
    visitor.visit(
        lambda **terms: lockd_client.semaphore(POOL, POOL_LIMIT, permits, **terms), Item(POOL, "", permits, POOL_LIMIT)
    )


def several(visitor: Visitor) -> None:
    names = visitor.random.sample(NAMES, visitor.random.randint(2, 3))
    items = [Item(name, visitor.random.choice((EXCLUSIVE, SHARED))) for name in names]
    wanted: list[tuple[str, str] | tuple[str, int, int]] = [(item.name, item.mode) for item in items]
    if visitor.random.random() < 0.3:
        items.append(Item(POOL, "", 1, POOL_LIMIT))
        wanted.append((POOL, 1, POOL_LIMIT))
    visitor.visit(lambda **terms: lockd_client.lock_all(*wanted, **terms), *items)


def converter(visitor: Visitor) -> None:
    """Two that hold it to read cannot both convert; one that holds it for update can."""
    first = visitor.random.choice((SHARED, UPDATE, EXCLUSIVE))
    second = SHARED if first == EXCLUSIVE else EXCLUSIVE
    alarm = visitor.random.random() < 0.3

    def use(number: int, grant: Grant) -> None:
        if visitor.convert(number, grant, second, _CONVERSION_SECONDS, alarm):
            visitor.hold()
            if second == EXCLUSIVE:
                visitor.convert(number, grant, first, None)

    make, item = _lock(visitor, first)
    visitor.visit(make, item, use=use)


def timeouts(visitor: Visitor) -> None:
    mode = visitor.random.choice((EXCLUSIVE, SHARED))
    visitor.visit(*_lock(visitor, mode), timeout=visitor.random.choice(_TIMEOUTS_SECONDS))


def interrupted(visitor: Visitor) -> None:
    visitor.visit(*_lock(visitor, visitor.random.choice((EXCLUSIVE, SHARED))), alarm=True)


def sleeper(visitor: Visitor) -> None:
    """Its release may be in a socket that the daemon has not read when it is killed, and it says nothing more."""
    visitor.visit(*_lock(visitor, EXCLUSIVE))
    if visitor.random.random() < 0.5:
        time.sleep(visitor.random.random() * _LONG_SECONDS_MAX)


def reentrant(visitor: Visitor) -> None:
    name = visitor.random.choice(NAMES)
    handle = lockd_client.rlock(name)

    def use(number: int, grant: Grant) -> None:
        visitor.enter(number, handle, visitor.random.randint(1, 3))

    visitor.visit(lambda **terms: lockd_client.rlock(name, **terms), Item(name, EXCLUSIVE), use=use)


def closer(visitor: Visitor) -> None:
    """It has another client each time, and after that nothing by which the daemon could be told more."""
    try:
        client = lockd_client.connect()
    except DaemonUnavailable:
        return
    name = visitor.random.choice(NAMES)
    with client:
        visitor.visit(
            lambda **terms: client.lock(name, **terms),
            Item(name, EXCLUSIVE),
            give_back=client.close if visitor.random.random() < 0.5 else None,
        )


ROLES: Final[dict[str, Callable[[Visitor], None]]] = {
    role.__name__: role
    for role in (exclusive, shared, semaphore, several, converter, timeouts, interrupted, sleeper, reentrant, closer)
}
#: What has so many threads, which share the connection, has one otherwise.
_THREADS: Final = {"exclusive": 2, "timeouts": 2}


def _run(role: str, visitor: Visitor, is_over: Callable[[], bool]) -> None:
    while not is_over():
        ROLES[role](visitor)
        time.sleep(visitor.random.random() * _REST_SECONDS_MAX)


def _connect() -> None:
    """Open the session. A program that starts while nobody listens is told so, and this one does not mind."""
    while True:
        try:
            lockd_client.lock(NAMES[0]).locked()
        except DaemonUnavailable as error:
            if not str(error).startswith(("there is no lockd at ", "no lockd listens at ")):
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _report(unraisable: sys.UnraisableHookArgs) -> None:
    """Report what was raised where nobody could catch it, but for an interrupt, which Python drops in a finalizer."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def main(role: str, process: str, seed: str, path: str) -> None:
    sys.unraisablehook = _report
    interrupts, diary = Interrupts(), Diary(path)
    over = threading.Event()
    _connect()

    def is_over() -> bool:
        if not over.is_set() and select.select([0], [], [], 0)[0]:
            over.set()
        return over.is_set()

    def visitor(number: int) -> Visitor:
        return Visitor(diary, Random(f"{seed} {process} {number}"), None if number else interrupts)

    others = [
        threading.Thread(target=_run, args=(role, visitor(number), over.is_set))
        for number in range(1, _THREADS.get(role, 1))
    ]
    for thread in others:
        thread.start()
    _run(role, visitor(0), is_over)
    for thread in others:
        thread.join()
    # No answer comes before what was said earlier has been heard.
    lockd_client.lock(NAMES[0]).locked()
    # What clients that were closed have left behind, threads of the library say.
    while len(os.listdir("/proc/self/task")) > 1:
        time.sleep(_RETRY_SECONDS)
    os.write(1, IDLE)
    while os.read(0, len(FINISH)):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
