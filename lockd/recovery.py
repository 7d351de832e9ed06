"""The start of the daemon, which is always a recovery.

There is no other way: after a crash, an upgrade or an orderly stop the same thing happens, so it is what is exercised
most. A journal of this boot has everything. Without one nothing is held, either because the machine has started anew,
or because the journal was lost, and then nothing is pretended.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from lockd.core.manager import LockManager
from lockd.core.records import Record

from .epoch import EpochError, EpochFile, boot_id
from .journal import Journal, JournalError, Outcome, Recovered, journal_path, recover, set_aside
from .logs import Event, fields, log
from .packing import Loss, UnknownRecord, packed, unpacked

_READABLE: Final = frozenset({Outcome.SOUND, Outcome.TORN})


class Beginning(NamedTuple):
    """What a daemon begins with."""

    manager: LockManager
    journal: Journal
    #: The latest loss of all state in this boot, if there was one.
    loss: Loss | None


def begin(
    runtime_dir: str,
    state_dir: str,
    make_manager: Callable[[int], LockManager],
    now: float,
    state_loss_delay_seconds: float,
    *,
    reset_epoch: bool,
) -> Beginning:
    """Make a lock manager that knows what the earlier daemon knew, and a journal that goes on from there.

    Args:
        runtime_dir: Where the journal is.
        state_dir: Where the epoch is.
        make_manager: Makes a manager of this epoch in which there is nothing.
        now: On the clock of the deadlines.
        state_loss_delay_seconds: How long to grant nothing if the state of an earlier daemon is lost.
        reset_epoch: Begin with a new epoch file where the old one is damaged.

    Raises:
        EpochError, JournalError: There is no epoch to be had, or no journal. Nothing has changed but, perhaps, the
            epoch, and the name of a journal of which nothing can be made; one of another boot may be gone.
    """
    boot = boot_id()
    epochs = EpochFile(os.path.join(state_dir, "epoch"))
    with _without_collection():
        recovered = recover(runtime_dir, boot)
        # Without a record it was cut off when it had just been made: a whole one begins with the counters.
        if recovered.outcome in _READABLE and recovered.records:
            try:
                beginning = _going_on(runtime_dir, recovered, make_manager, now)
            except UnknownRecord as error:
                recovered = set_aside(journal_path(runtime_dir), str(error), recovered.header)
            else:
                _keep_up(epochs, boot, beginning.manager.epoch)
                return beginning
    stored = None if reset_epoch else epochs.stored()
    reason = _loss(recovered, boot, None if stored is None else stored.boot_id)
    loss = Loss(reason, now + state_loss_delay_seconds) if reason else None
    return _anew(runtime_dir, boot, epochs, make_manager, loss, reset_epoch=reset_epoch)


def _anew(
    runtime_dir: str,
    boot: str,
    epochs: EpochFile,
    make_manager: Callable[[int], LockManager],
    loss: Loss | None,
    *,
    reset_epoch: bool,
) -> Beginning:
    """Begin with nothing.

    The journal comes first, and is whole before the epoch file names this boot: from then on a journal that is not
    there was lost.
    """
    beginnings: list[Beginning] = []

    def write_journal(epoch: int) -> None:
        manager, journal = make_manager(epoch), Journal.create(runtime_dir, boot, epoch)
        beginnings.append(Beginning(manager, journal, loss))
        journal.append(map(packed, manager.snapshot()))
        if loss is not None:
            journal.append([packed(loss)])
        if not journal.write():
            raise JournalError(f"{journal.fault}")

    try:
        epochs.raise_epoch(boot, time.time(), reset=reset_epoch, prepare=write_journal)
    except BaseException:
        for beginning in beginnings:
            beginning.journal.close()
            # Otherwise the next daemon would go on with it, under an epoch that is not stored.
            with suppress(OSError):
                os.unlink(beginning.journal.path)
        raise
    if loss is not None:
        log.error(
            "%s: whoever held locks has lost them, and is told so when it connects again",
            loss.reason,
            extra=fields(Event.STATE_LOST),
        )
    return beginnings[0]


def _keep_up(epochs: EpochFile, boot: str, epoch: int) -> None:
    try:
        epochs.keep_up(boot, epoch)
    except EpochError as error:
        # Everybody can go on: what the file is for is a loss that has not happened.
        log.warning("%s. It does not know epoch %d of this boot", error, epoch)


def _going_on(
    runtime_dir: str, recovered: Recovered, make_manager: Callable[[int], LockManager], now: float
) -> Beginning:
    assert recovered.header is not None
    begun_at = time.perf_counter()
    losses: list[Loss] = []

    def records() -> Iterator[Record]:
        for values in recovered.records:
            entry = unpacked(values)
            if isinstance(entry, Loss):
                losses.append(entry)
            else:
                yield entry

    manager = make_manager(recovered.header.epoch)
    manager.restore(records(), now)
    statistics = manager.statistics()
    log.info(
        "%s; %d sessions with %d grants and %d waiters came back in %.0f ms",
        recovered.detail,
        statistics.sessions,
        statistics.grants,
        statistics.waiters,
        (time.perf_counter() - begun_at) * 1000,
        extra=fields(Event.RECOVERED, sessions=statistics.sessions, grants=statistics.grants),
    )
    journal = Journal.open(runtime_dir, recovered)
    # What has ended with the connections.
    journal.append(map(packed, manager.changes()))
    return Beginning(manager, journal, losses[-1] if losses else None)


def _loss(recovered: Recovered, boot: str, epoch_of_boot: str | None) -> str:
    """Return how the state was lost, or nothing if there was none."""
    if recovered.outcome is Outcome.CORRUPT:
        return recovered.detail
    if epoch_of_boot == boot:
        return f"{recovered.detail}, although a daemon has run since this machine started"
    return ""


@contextmanager
def _without_collection() -> Iterator[None]:
    """Let nobody look for garbage: all that is made here is kept, and there may be a million of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
