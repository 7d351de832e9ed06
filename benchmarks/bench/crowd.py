"""Processes that do the same at the same time."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from array import array
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

#: Forked, so that a process has all modules from the start and nothing is imported while others are measured.
_FORK = multiprocessing.get_context("fork")

#: Between the word that everybody is there and the instant at which all begin.
_HEAD_START_SECONDS = 0.05

#: How much longer than its time the work may take. A queue of 50 processes has to run dry first.
_GRACE_SECONDS = 60.0


class CrowdFailed(Exception):
    """Some process could not do its work; the message says why."""


class Tally(NamedTuple):
    """What one process has to tell."""

    #: How often it had the lock, within the time.
    pairs: int
    #: The same with those that came to an end behind it.
    pairs_in_all: int = 0
    #: How often somebody else had had it before.
    hand_overs: int = 0
    worst_wait_seconds: float = 0.0
    #: How much of a processor it used.
    cpu_ns: int = 0
    #: Durations in nanoseconds: an array of "q" as bytes.
    samples: bytes = b""


#: Prepares, and returns what is then done until `time.perf_counter_ns` has reached the instant that it is given.
Task = Callable[[int], Callable[[int], Tally]]


def crowd(number: int, seconds: float, task: Task) -> list[Tally]:
    """Let so many processes work for so long, and return what each has to tell.

    All have prepared before any begins.

    Args:
        task: Called in each process with the process's number, counted from 0.

    Raises:
        CrowdFailed: A process raised an exception, died, or did not come to an end in time. None is left.
    """
    ends = [_FORK.Pipe() for _ in range(number)]
    processes = [
        _FORK.Process(target=_member, args=(index, theirs, seconds, task), daemon=True)
        for index, (_, theirs) in enumerate(ends)
    ]
    ours = [end for end, _ in ends]
    try:
        for process in processes:
            process.start()
        for _, theirs in ends:
            theirs.close()
        _gather(ours, _GRACE_SECONDS)
        begins_at = time.perf_counter_ns() + int(_HEAD_START_SECONDS * 1e9)
        for end in ours:
            end.send(begins_at)
        tallies = _gather(ours, seconds + _GRACE_SECONDS)
        for process in processes:
            process.join(_GRACE_SECONDS)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join()
        for end in ours:
            end.close()
    return [tally for tally in tallies if tally is not None]


def samples_of(tallies: list[Tally]) -> list[int]:
    """Return all durations in nanoseconds, in rising order."""
    together = array("q")
    for tally in tallies:
        together.frombytes(tally.samples)
    return sorted(together)


def _member(index: int, end: Connection, seconds: float, task: Task) -> None:
    try:
        work = task(index)
        end.send(None)
        begins_at = end.recv()
        time.sleep(max(0.0, (begins_at - time.perf_counter_ns()) / 1e9))
        end.send(work(begins_at + int(seconds * 1e9)))
    except Exception:
        end.send(traceback.format_exc())


def _gather(ends: list[Connection], seconds: float) -> list[Tally | None]:
    """Return one answer of each."""
    answers: dict[int, Tally | None] = {}
    until = time.monotonic() + seconds
    while len(answers) < len(ends):
        missing = [end for index, end in enumerate(ends) if index not in answers]
        ready = wait(missing, max(0.0, until - time.monotonic()))
        if not ready:
            raise CrowdFailed(f"{len(missing)} of {len(ends)} processes did not come to an end in {seconds:.0f} s")
        for end in missing:
            if end in ready:
                answers[ends.index(end)] = _answer(end)
    return [answers[index] for index in range(len(ends))]


def _answer(end: Connection) -> Tally | None:
    try:
        answer = end.recv()
    except EOFError:
        raise CrowdFailed("a process died") from None
    if isinstance(answer, str):
        raise CrowdFailed(answer.strip().splitlines()[-1])
    assert answer is None or isinstance(answer, Tally)
    return answer
