"""What becomes of a session: how it opens, ends, and loses and gets back its connection (rules S and B1).

Like those of the book, each step leaves everything in order but for what its docstring names.
"""

from __future__ import annotations

from . import actions as a
from . import events as e
from .book import Book
from .bounds import used_up
from .happenings import Happening
from .state import Account, Session


def open_session(book: Book, event: e.OpenSession) -> None:
    """Open a session, or say why not (B1)."""
    quotas, uid = book.quotas, event.peer.uid
    account = account_of(book, uid)
    if len(book.sessions) >= quotas.sessions_max:
        detail = used_up("the daemon", quotas.sessions_max, "sessions", "sessions_max")
        book.actions.append(a.Refused(detail))
        return
    if account.sessions >= quotas.sessions_per_uid_max:
        detail = used_up(f"uid {uid}", quotas.sessions_per_uid_max, "sessions", "sessions_per_uid_max")
        book.actions.append(a.Refused(detail))
        return
    book.last_session += 1
    session = Session(book.last_session, event.peer, event.program, event.ends_at_eof, account, book.now, event.image)
    enter(book, session)
    book.actions.append(a.Opened(session.id))


def account_of(book: Book, uid: int) -> Account:
    """Return what a uid has, which need not have been known."""
    return book.accounts.get(uid) or Account()


def enter(book: Book, session: Session) -> None:
    """Enter a session that has nothing yet."""
    book.sessions[session.id] = session
    session.slot = book.session_slots.add(session)
    book.accounts[session.peer.uid] = session.account
    session.account.sessions += 1
    if session.peer.process:
        book.processes.setdefault((session.peer.pid, session.peer.process), {})[session.id] = session
    book.changed_sessions[session] = None


def end(book: Book, session: Session, reason: a.EndReason) -> None:
    """End a session and free all it has, as one step (S1)."""
    del book.sessions[session.id]
    book.session_slots.remove(session.slot)
    _forget_process(book, session)
    book.changed_sessions[session] = None
    book.deadlines.clear(session)
    if not session.is_attached:
        book.detached -= 1
    book.actions.append(a.SessionEnded(session.id, reason))
    requests = [*session.waiting.values(), *session.grants.values()]
    for request in requests:
        if not request.token:
            book.dequeue(request)
            book.happened.append((Happening.LEFT, request))
        elif reason is a.EndReason.BYE or request.terms.exit_releases:
            book.abandoned.settle(request)
            book.drop(request, Happening.RELEASED)
        else:
            book.abandoned.remember(request, book.now)
            book.drop(request, Happening.ABANDONED)
    session.account.sessions -= 1
    if session.account.is_empty:
        del book.accounts[session.peer.uid]
    book.look_through([item for request in requests for item in request.items])


def end_if_left_alone(book: Book, session: Session) -> None:
    """End a session that nobody is there for, that has nothing, and that has heard of what it lost."""
    if not session.is_attached and session.is_idle and session.id in book.sessions:
        end(book, session, a.EndReason.IDLE_DETACHED)


def detach(book: Book, session: Session, due_at: float) -> None:
    """Note that a session has no connection any more. Its waiters hold the others up until ``due_at`` (S5). It may
    have to be ended afterwards."""
    session.is_attached = False
    book.detached += 1
    if session.waiting and not session.is_passed:
        book.deadlines.set(session, due_at)


def let_pass(book: Book, session: Session) -> None:
    """Let others pass the waiters of a session, and those go who only waited for these (S5)."""
    book.changed_sessions[session] = None
    book.names.let_pass(session)
    book.look_through([item for waiter in session.waiting.values() for item in waiter.items])


def attach(book: Book, session: Session) -> None:
    """Note that a session has a connection again, and tell it what it may not have heard (S8). Its own waiters are to
    be looked at again afterwards."""
    is_back = not session.is_attached
    if is_back:
        session.is_attached = True
        book.detached -= 1
        book.deadlines.clear(session)
        if session.is_passed:
            _let_back(book, session)
    _remind(book, session)
    if is_back:
        book.look_at_waiters(session)
        for waiter in session.waiting.values():
            # Those who got something while the waiter could be passed have not been told of it.
            book.tell_those_before(waiter)


def acknowledge(book: Book, session: Session, token: int) -> None:
    """Note that a session has heard that it lost something."""
    if session.losses.pop(token, None) is not None:
        book.changed_sessions[session] = None


def _forget_process(book: Book, session: Session) -> None:
    process = session.peer.pid, session.peer.process
    if session.peer.process:
        del book.processes[process][session.id]
        if not book.processes[process]:
            del book.processes[process]


def _let_back(book: Book, session: Session) -> None:
    book.names.let_back(session)
    book.changed_sessions[session] = None
    # Those that stood behind its waiters wait for them from now on. One of each owner is enough to judge it by.
    book.to_judge.extend({waiter.owner: waiter for waiter in session.waiting.values()}.values())


def _remind(book: Book, session: Session) -> None:
    book.actions.extend(a.Lost(session.id, token, *loss) for token, loss in session.losses.items())
    for grant in session.grants.values():
        book.remind(grant)
