"""Answers about how the daemon does: the metrics, and names that are taken in opposite orders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final

from lockd import sentences
from lockd.logs import safe
from lockd.onlookers.lock_order import Finding, Place
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode

from .desk import Desk

#: With so many of them on each of so many rows a frame is nearly full.
_TEXT_BYTES: Final = 1000

#: Two places each, with the longest names.
_ORDERS_PER_PAGE: Final = 4
_LABEL_BYTES_MAX: Final = 64

#: How often to look whether what is imported has been.
_POLL_SECONDS: Final = 0.01


def metrics(desk: Desk, request: m.Metrics) -> m.AdminReply | None:
    """Give a page of the metrics."""
    if request.cursor == 0:
        if not _writer.is_ready():
            desk.later(_POLL_SECONDS, lambda: _send_metrics(desk, request))
            return None
        if _writer.fault:
            return m.AdminFailed(request.id, ErrorCode.UNAVAILABLE, _writer.fault)
        from .exposition import exposition

        desk.lay_out(m.Metrics, list(_texts(exposition(desk.vitals))))
    texts, cursor = desk.page(m.Metrics, request.cursor, limits.ROWS_MAX)
    return m.Rows(request.id, tuple({"text": text} for text in texts), cursor)


def orders(desk: Desk, request: m.Orders) -> m.AdminReply:
    """Give a page of the names that are taken in opposite orders."""
    if request.cursor == 0:
        lock_order = desk.vitals.lookout.lock_order
        desk.lay_out(m.Orders, [] if lock_order is None else list(lock_order.findings.values()))
    findings, cursor = desk.page(m.Orders, request.cursor, _ORDERS_PER_PAGE)
    return m.Rows(request.id, tuple(_row(finding, desk.now) for finding in findings), cursor)


class _Writer:
    """What writes the metrics: imported by a thread, because that takes longer than anybody is to wait for a lock."""

    def __init__(self) -> None:
        self.fault = ""
        self._thread: threading.Thread | None = None

    def is_ready(self) -> bool:
        """See to it that the metrics can be written soon, and say whether they can be now, or never."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._import, name="import", daemon=True)
            self._thread.start()
        return not self._thread.is_alive()

    def _import(self) -> None:
        try:
            from . import exposition  # noqa: F401
        except Exception as error:
            # As when it is being replaced by another version. Locks are served all the same.
            words = f"the metrics cannot be written, because prometheus-client cannot be imported: {error}"
            self.fault = sentences.shortened(safe(words), limits.TEXT_BYTES_MAX)


_writer: Final = _Writer()


def _send_metrics(desk: Desk, request: m.Metrics) -> None:
    answer = metrics(desk, request)
    if answer is not None:
        desk.send(answer)


def _texts(text: str) -> Iterator[str]:
    """Cut a text into pieces that fit into a message, and no character in two."""
    encoded = text.encode()
    at = 0
    while at < len(encoded):
        end = at + _TEXT_BYTES
        while end < len(encoded) and encoded[end] & 0xC0 == 0x80:
            end -= 1
        yield encoded[at:end].decode()
        at = end


def _row(finding: Finding, now: float) -> dict[str, m.Scalar | dict[str, m.Scalar]]:
    return {"first": _place(finding.first, now), "second": _place(finding.second, now)}


def _place(place: Place, now: float) -> dict[str, m.Scalar]:
    held_label, wanted_label = (sentences.shortened(label, _LABEL_BYTES_MAX) for label in place.labels)
    return {
        "pid": place.pid,
        "uid": place.uid,
        "program": place.program,
        "held": place.held,
        "held_label": held_label,
        "wanted": place.wanted,
        "wanted_label": wanted_label,
        "ago_seconds": now - place.at,
    }
