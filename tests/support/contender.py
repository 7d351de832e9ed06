"""What a process does that contends for locks at random, and the notes that it takes (`support.history`)."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

import lockd_client
from lockd_client import Lock, LockError, LockTimeout

from .history import EXCLUSIVE, GRANTED, INTERRUPTED, REFUSED, SHARED, Operation

NAMES: Final = ("accounts", "index", "log")
THREADS: Final = 2

_TRY: Final = 0.0
_TIMEOUTS_SECONDS: Final = (0.0005, 0.002, 0.008)
#: How long somebody has a lock, and rests without one.
_PAUSE_SECONDS_MAX: Final = 0.001
#: Now and then longer than others wait. Whoever is not woken when another one leaves the queue will be by the next
#: release, which must not come so soon that nobody notices.
_LONG_HOLD_SECONDS: Final = 0.015
_LONG_HOLD_PROBABILITY: Final = 0.2
#: After this long, on average, a thread that waits is interrupted by its own alarm.
_ALARM_SECONDS: Final = 0.0015
_INTERRUPT_PROBABILITY: Final = 0.5
#: How often something else is wanted while one lock is held. Always in the order of `NAMES`: nobody waits in a circle.
_ANOTHER_PROBABILITY: Final = 0.25


def contend(
    interrupts: Interrupts, process: str, seed: int, seconds: float, path: str, *, patient: bool = True
) -> None:
    """Contend for `NAMES` with `THREADS` threads, and write the notes to a file.

    When this returns the daemon has heard everything that the process had to say.

    Args:
        interrupts: Made before anybody sends a signal.
        process: What the process is called in the notes.
        patient: Whether somebody may wait without a limit. Without it this returns even if a lock is never free again.
    """
    until = time.monotonic() + seconds
    contenders = [
        _Contender(process, f"{number}", Random(f"{seed} {process} {number}"), until, patient)
        for number in range(THREADS)
    ]
    # Signals are handled in the main thread.
    contenders[0].interrupts = interrupts
    others = [threading.Thread(target=each.run) for each in contenders[1:]]
    for thread in others:
        thread.start()
    contenders[0].run()
    for thread in others:
        thread.join()
    # No answer comes before what was said earlier has been heard.
    lockd_client.lock(NAMES[0]).locked()
    Path(path).write_text(json.dumps([note for each in contenders for note in each.notes]))


def read_notes(path: Path) -> list[Operation]:
    """Return what a contender noted."""
    return [Operation(*note) for note in json.loads(path.read_text())]


class Interrupts:
    """Makes a KeyboardInterrupt of a signal, SIGINT or an alarm, if it comes in a call that is meant to be interrupted.

    Anywhere else the notes themselves would be interrupted.
    """

    def __init__(self) -> None:
        self.are_wanted = False
        for number in (signal.SIGINT, signal.SIGALRM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.are_wanted:
            self.are_wanted = False
            raise KeyboardInterrupt


class _Contender:
    """A thread of the process."""

    def __init__(self, process: str, thread: str, random: Random, until: float, patient: bool) -> None:
        self.notes: list[Operation] = []
        #: In the main thread: some of its calls are interrupted.
        self.interrupts: Interrupts | None = None
        self._process, self._thread, self._random, self._until = process, thread, random, until
        self._patient = patient

    def run(self) -> None:
        while time.monotonic() < self._until:
            self._visit(NAMES)
            time.sleep(self._random.random() * _PAUSE_SECONDS_MAX)

    def _visit(self, names: tuple[str, ...]) -> None:
        """Ask for one of the names in one of the ways, and perhaps, while it is held, for another one."""
        place = self._random.randrange(len(names))
        mode = self._random.choice((EXCLUSIVE, SHARED))
        timeouts = [_TRY, self._random.choice(_TIMEOUTS_SECONDS), *([None] if self._patient else [])]
        timeout = self._random.choice(timeouts)
        ask = self._random.choice((self._with_acquire, self._with_block))
        ask(names[place], mode, timeout, names[place + 1 :])

    def _with_acquire(self, name: str, mode: str, timeout: float | None, rest: tuple[str, ...]) -> None:
        handle = self._handle(name, mode)
        blocking, limit = timeout != _TRY, -1 if timeout in (None, _TRY) else timeout
        answers = []
        note = self._note(name, mode, timeout)
        outcome = self._outcome(lambda: answers.append(handle.acquire(blocking, limit)), timeout)
        note = note._replace(returned_at=time.monotonic_ns(), outcome=outcome)
        grant = handle.grant
        if outcome == GRANTED and answers != [grant is not None]:
            note = note._replace(outcome=f"said {answers} and gave {grant}")
        elif grant is not None:
            # Even if an interrupt came when the call was over and its result on the way.
            note = note._replace(outcome=GRANTED, token=grant.token)
            self._hold(rest)
            note = note._replace(released_at=time.monotonic_ns())
            of_release = self._outcome(handle.release, None)
            note = note._replace(ended_at=time.monotonic_ns())
            if of_release not in (GRANTED, INTERRUPTED):
                note = note._replace(outcome=f"not released: {of_release}")
        elif outcome == GRANTED:
            note = note._replace(outcome=REFUSED)
        self.notes.append(note)

    def _with_block(self, name: str, mode: str, timeout: float | None, rest: tuple[str, ...]) -> None:
        handle = self._handle(name, mode, timeout)
        note = self._note(name, mode, timeout)

        def work() -> None:
            nonlocal note
            try:
                with handle as grant:
                    self._want_no_interrupts()
                    note = note._replace(returned_at=time.monotonic_ns(), token=grant.token)
                    self._hold(rest)
                    note = note._replace(released_at=time.monotonic_ns())
            except LockTimeout as refused:
                self._want_no_interrupts()
                if timeout == _TRY:
                    note = note._replace(holders_total=refused.holders_total, waiters_total=refused.waiters_total)
                raise

        outcome = self._outcome(work, timeout)
        ended_at = time.monotonic_ns()
        note = note._replace(outcome=outcome)
        self.notes.append(note._replace(ended_at=ended_at) if note.token else note._replace(returned_at=ended_at))

    def _note(self, name: str, mode: str, timeout: float | None) -> Operation:
        return Operation(self._process, self._thread, name, mode, timeout, time.monotonic_ns())

    def _hold(self, rest: tuple[str, ...]) -> None:
        if rest and self._random.random() < _ANOTHER_PROBABILITY:
            self._visit(rest)
        is_long = self._random.random() < _LONG_HOLD_PROBABILITY
        time.sleep(_LONG_HOLD_SECONDS if is_long else self._random.random() * _PAUSE_SECONDS_MAX)

    def _handle(self, name: str, mode: str, timeout: float | None = None) -> Lock:
        lock = lockd_client.rwlock(name, timeout=timeout)
        return lock.read() if mode == SHARED else lock.write()

    def _outcome(self, call: Callable[[], object], timeout: float | None) -> str:
        """Make the call, perhaps with an interrupt, and return what came of it."""
        is_to_be_interrupted = self.interrupts is not None and self._random.random() < _INTERRUPT_PROBABILITY
        if is_to_be_interrupted and timeout != _TRY:
            signal.setitimer(signal.ITIMER_REAL, self._random.expovariate(1 / _ALARM_SECONDS))
        failure: LockError | None = None
        try:
            if self.interrupts is not None:
                self.interrupts.are_wanted = is_to_be_interrupted
            call()
        except KeyboardInterrupt:
            return INTERRUPTED
        except LockError as error:
            failure = error
        finally:
            # Python looks for signals where a function begins, not where it ends: none is noticed before this line.
            if self.interrupts is not None:
                self.interrupts.are_wanted = False
        if failure is None:
            return GRANTED
        return REFUSED if isinstance(failure, LockTimeout) else f"{type(failure).__name__}: {failure}"

    def _want_no_interrupts(self) -> None:
        if self.interrupts is not None:
            self.interrupts.are_wanted = False
