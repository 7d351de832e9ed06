"""The rules of lockd/core/README.md once more, by somebody who knows no tricks.

The oracle works out who may go from one list of everything that is asked, from the start, after every change. It
cannot foretell session ids, tokens, and what becomes of a deadlock: who is refused, or which order of the queues
resolves it. In that it believes the manager, whose answers it is shown, but not without a look at whether there was a
deadlock, and whether there is none left.
"""

from __future__ import annotations

from typing import TypeGuard

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import ITEMS_MAX, LIMIT_MAX, NAMES_ASKED_MAX, PLACE_STEP, TREE_DEPTH_MAX
from lockd.core.manager import LockManager
from lockd.core.modes import CONFLICTS, Mode

from .ledger import Answer, Ledger
from .world import Ask, Party, expanded


class Oracle(Ledger):
    """Says what has to be answered."""

    def handle(self, event: e.Event, now: float, told: list[a.Action]) -> list[Answer]:
        """Return what has to be answered to ``event``, to which the manager answered ``told``."""
        self.now = now
        self.answers = []
        self._told = told
        self._verdicts = [action for action in told if _is_verdict(action)]
        while (due := self._first_due()) is not None:
            self._expire(due)
            self._judge_again()
        match event:
            case e.OpenSession():
                self._open(event)
            case e.Resume():
                self._resume(event)
            case e.Disconnected():
                self._disconnected(event.session)
            case e.ProcessExited():
                if event.session in self.world.parties:
                    self._end(event.session, a.EndReason.PROCESS_EXITED)
            case e.Break():
                self._break(event)
            case e.Tick():
                pass
            case _:
                self._request(event)
        self._judge_again()
        assert not self._verdicts, f"D2: {self._verdicts} without need"
        return self.answers

    def next_deadline(self) -> float | None:
        due = [subject.due_at for subject in self._subjects() if subject.due_at is not None]
        return min(due, default=None)

    def _subjects(self) -> list[Ask | Party]:
        return [*self.world.asks, *self.world.parties.values()]

    def _first_due(self) -> Ask | Party | None:
        due = [subject for subject in self._subjects() if subject.due_at is not None and subject.due_at <= self.now]
        return min(due, key=lambda subject: (subject.due_at, subject.due_order), default=None)

    def _expire(self, due: Ask | Party) -> None:
        due.due_at = None
        if isinstance(due, Party):
            due.is_passed = True
            self._settle()
            return
        if not due.is_granted:
            self._fail(due, a.Reason.TIMEOUT, self._facts_of_waiter(due))
        elif self.world.is_contended(due):
            self._remember(due)
            self._lose(due, a.Loss(a.LossReason.LEASE))
        else:
            return
        self._take_away([due])
        self._end_if_left_alone(due.session)

    def _open(self, event: e.OpenSession) -> None:
        same_uid = [party for party in self.world.parties.values() if party.uid == event.peer.uid]
        if len(self.world.parties) >= self.quotas.sessions_max or len(same_uid) >= self.quotas.sessions_per_uid_max:
            self.answers.append(("refused",))
            return
        self.answers.append(("opened",))
        [opened] = [action for action in self._told if isinstance(action, a.Opened)]
        party = Party(
            opened.session, event.peer.pid, event.peer.process, event.peer.uid, event.ends_at_eof, event.image
        )
        self.world.parties[opened.session] = party

    def restart(self, manager: LockManager, now: float) -> None:
        """Believe that the manager ended, and that ``manager`` was made of its records (J2, J3)."""
        self.manager, self.now = manager, now
        has_something = {ask.session for ask in self.world.asks} | self.world.owed()
        there = {session for session in has_something if not self.world.parties[session].ends_at_eof}
        assert set(manager.sessions) == there, "J3: the sessions"
        for party in list(self.world.parties.values()):
            asks = [ask for ask in self.world.asks if ask.session == party.id]
            if party.id not in there:
                for ask in asks:
                    if ask.is_granted:
                        self._remember(ask)
                    self.world.asks.remove(ask)
                del self.world.parties[party.id]
                continue
            party.is_attached, party.last_heard = False, 0
            is_held_up = not party.is_passed and any(not ask.is_granted for ask in asks)
            party.due_at = now + self.window_seconds if is_held_up else None
            # Ids that had no effect may be forgotten, and nothing else.
            remembered = manager.sessions[party.id].last_request
            least = max((number for ask in asks for number in ask.ids), default=0)
            assert least <= remembered <= party.last_request, "S9: ids"
            party.last_request = remembered
        for ask in self.world.asks:
            if ask.due_at is not None:
                ask.due_at = max(ask.due_at, now + self.window_seconds)

    def _resume(self, event: e.Resume) -> None:
        party = self.world.parties.get(event.session)
        if party is None or (party.pid, party.process) != (event.peer.pid, event.peer.process):
            self.answers.append(("not resumed", event.session))
            return
        self.answers.append(("resumed", party.id, party.last_request))
        if not party.is_attached:
            party.is_attached, party.is_passed, party.due_at = True, False, None
        party.last_heard, party.told = 0, set()
        self.answers += [("lost", *origin, *loss) for origin, loss in party.losses.values()]
        for ask in self.world.granted():
            if ask.session == party.id and ask.id >= 0 and ask.is_yield_requested and self.world.is_contended(ask):
                self.answers.append(("yield", *ask.origin))
        self._settle()

    def _disconnected(self, session: int) -> None:
        party = self.world.parties.get(session)
        if party is None or not party.is_attached:
            return
        if party.ends_at_eof:
            self._end(session, a.EndReason.EOF)
            return
        party.is_attached = False
        if any(ask.session == session for ask in self.world.waiting()):
            self._set_due(party, self.now + self.window_seconds)
        self._end_if_left_alone(session)

    def _end(self, session: int, reason: a.EndReason) -> None:
        self.answers.append(("ended", session, reason))
        for ask in self.world.granted():
            if ask.session == session and (reason is a.EndReason.BYE or ask.terms.exit_releases):
                self._settle_abandoned(ask)
            elif ask.session == session:
                self._remember(ask)
        self.world.asks = [ask for ask in self.world.asks if ask.session != session]
        del self.world.parties[session]
        self._settle()

    def _request(self, event: e.Request) -> None:
        party = self.world.parties.get(event.session)
        if party is None or not party.is_attached:
            return
        if event.id <= party.last_heard:
            self.answers.append(("misbehaved", party.id))
            return
        party.last_heard = event.id
        if event.id <= party.last_request and self._is_done(party, event):
            return
        party.last_request = max(event.id, party.last_request)
        match event:
            case e.Acquire():
                self._acquire(party, event)
            case e.Convert():
                self._convert(event)
            case e.Release():
                self._release(event)
            case e.Cancel():
                self._cancel(event)
            case e.HandOver():
                self._hand_over(event)
            case e.Adopt():
                self._adopt(party, event)
            case e.Inherit():
                self._inherit(party, event)
            case e.Query():
                self.answers.append(("state", party.id, event.id, self._facts(event.name)))
            case e.Malformed():
                self._refuse(event, a.Reason.BAD_REQUEST)
            case e.Bye():
                self._end(party.id, a.EndReason.BYE)

    def _is_done(self, party: Party, event: e.Request) -> bool:
        """S9: answer what came before, and return whether nothing is left to do about it."""
        ask = self.ask_of(party.id, event.id)
        if event.id in party.told:
            party.told.remove(event.id)
            return True
        if ask is not None and not ask.is_granted:
            return True
        match event:
            case e.Release():
                if event.confirm:
                    self.answers.append(("done", party.id, event.id))
                return True
            case e.Convert() if ask is not None:
                self._refuse(event, a.Reason.BAD_REQUEST)
                return True
            case e.Acquire() | e.Adopt() | e.Inherit() if ask is not None:
                self.answers.append(("granted", party.id, event.id, ask.origin, self._reports_again(ask)))
                return True
            case _:
                return False

    def _acquire(self, party: Party, event: e.Acquire) -> None:
        items = expanded(event.items, event.is_tree)
        if not _is_possible(event) or len(items) > ITEMS_MAX or len({item.name for item in items}) < len(items):
            self._refuse(event, a.Reason.BAD_REQUEST)
            return
        ask = Ask(party.id, event.owner, [event.id], items, event.terms, event.is_tree, self.now)
        ask.origin = (party.id, event.id)
        held = [grant for grant in self.world.granted() if grant.who == ask.who and _covers(grant, items)]
        if (mismatch := self._mismatch(items)) is not None:
            self._refuse(event, mismatch)
        elif sum(len(other.ids) for other in self.world.of_uid(party.uid)) >= self.quotas.grants_per_uid_max:
            self._refuse(event, a.Reason.QUOTA)
        elif event.terms.is_reentrant and held:
            # Which one it is, if there are several, is the manager's business.
            token = self._token_told(party.id, event.id)
            entered = next((grant for grant in held if grant.token == token), None)
            assert entered is not None, f"E1: {ask} is no entry of what its owner holds"
            entered.ids.append(event.id)
            self.answers.append(("granted", party.id, event.id, entered.origin, ()))
        elif self.world.own_obstacle(ask):
            assert self._is_refused(ask), f"R6: {ask} would wait for its own owner"
            self._refuse(event, a.Reason.DEADLOCK)
            self._verdicts.pop(0)
        else:
            self._grant_or_wait(ask)

    def _convert(self, event: e.Convert) -> None:
        grant = self._held(event.session, event.token)
        if grant is None:
            self._refuse(event, a.Reason.NOT_OWNER)
            return
        asked = tuple(item for item in grant.items if isinstance(item.demand, Mode) and item.is_asked)
        if not asked or grant.ticket or self._conversion_of(grant):
            self._refuse(event, a.Reason.BAD_REQUEST)
            return
        items = expanded(tuple(item._replace(demand=event.mode) for item in asked), grant.is_tree)
        conversion = Ask(event.session, grant.owner, [event.id], items, event.terms, grant.is_tree, self.now)
        conversion.converts = grant
        self._grant_or_wait(conversion)

    def _grant_or_wait(self, ask: Ask) -> None:
        # Whoever asks is behind everybody.
        ask.place = 1 << 80
        uid = self.world.parties[ask.session].uid
        if self.world.may_go(ask):
            self.world.asks.append(ask)
            self._settle()
            return
        if (left := self.world.left_behind(ask)) is not None:
            facts = (*left, len(self.world.on(left[0], self.world.waiting())))
            self._fail(ask, a.Reason.HELD_BY_EARLIER_PROGRAM, facts)
        elif ask.terms.timeout_seconds == 0:
            self._fail(ask, a.Reason.TIMEOUT, self._facts_of_waiter(ask))
        elif sum(not other.is_granted for other in self.world.of_uid(uid)) >= self.quotas.waiters_per_uid_max:
            self._fail(ask, a.Reason.QUOTA)
        else:
            self._wait(ask)

    def _wait(self, ask: Ask) -> None:
        self._last_place += PLACE_STEP
        ask.place = self._last_place
        self.world.asks.append(ask)
        if self.world.stuck() and self._is_refused(ask):
            assert not self.world.would_a_move_help(), f"D4: {ask} is refused, and another order would have helped"
            self._verdicts.pop(0)
            self.world.asks.remove(ask)
            self._fail(ask, a.Reason.DEADLOCK)
            return
        if ask.terms.timeout_seconds is not None:
            self._set_due(ask, self.now + ask.terms.timeout_seconds)
        if self.world.stuck():
            self._reorder()
        self._settle()
        if ask in self.world.waiting() and ask.terms.wants_wait_notice:
            self.answers.append(("waiting", ask.session, ask.id, self._facts_of_waiter(ask)))

    def _release(self, event: e.Release) -> None:
        self.world.parties[event.session].losses.pop(event.token, None)
        if (grant := self._held(event.session, event.token)) is not None:
            if len(grant.ids) == 1:
                self._settle_abandoned(grant)
                self._take_away([grant])
            else:
                grant.ids.pop(0)
        if event.confirm:
            self.answers.append(("done", event.session, event.id))

    def _cancel(self, event: e.Cancel) -> None:
        ask = self.ask_of(event.session, event.request)
        if ask is None:
            return
        if len(ask.ids) > 1:
            ask.ids.remove(event.request)
            return
        if not ask.is_granted:
            self._fail(ask, a.Reason.CANCELLED)
        self._take_away([ask])

    def _hand_over(self, event: e.HandOver) -> None:
        grant = self._held(event.session, event.token)
        if grant is None:
            self._refuse(event, a.Reason.NOT_OWNER)
        elif not self._may_change_hands(grant):
            self._refuse(event, a.Reason.BAD_REQUEST)
        else:
            grant.ticket = grant.ticket or event.ticket
            self.answers.append(("ticket", event.session, event.id, grant.ticket))

    def _adopt(self, party: Party, event: e.Adopt) -> None:
        grant = next((ask for ask in self.world.granted() if ask.ticket == event.ticket), None)
        if grant is None or self.world.parties[grant.session].uid != party.uid:
            self._refuse(event, a.Reason.NOT_OWNER)
        elif not self._may_change_hands(grant):
            self._refuse(event, a.Reason.BAD_REQUEST)
        else:
            if grant.session != party.id:
                self._lose(grant, a.Loss(a.LossReason.HANDED_OVER))
            self.answers.append(("granted", party.id, event.id, grant.origin, self._reports(grant)))
            grant.session, grant.owner, grant.ids = party.id, event.owner, [event.id]
            party.losses.pop(grant.token, None)
            grant.ticket, grant.is_yield_requested = "", False
            self._settle()

    def _inherit(self, party: Party, event: e.Inherit) -> None:
        """P3."""
        earlier = self.world.earlier(party)
        left = [ask for ask in self.world.asks if ask.session in earlier]
        for ask in left:
            if not ask.is_granted:
                self._fail(ask, a.Reason.CANCELLED)
                self.world.asks.remove(ask)
                continue
            ask.session, ask.owner, ask.ids = party.id, event.owner, [-ask.token]
            ask.ticket, ask.is_yield_requested = "", False
            party.losses.pop(ask.token, None)
        self._settle()
        for session in earlier:
            self.world.parties[session].losses.clear()
            self._end_if_left_alone(session)
        unclaimed = [ask for ask in self.world.granted() if ask.session == party.id and ask.id < 0]
        if not unclaimed:
            self._refuse(event, a.Reason.NOTHING_INHERITED)
            return
        oldest = min(unclaimed, key=lambda ask: ask.token)
        oldest.ids[0] = event.id
        self.answers.append(("granted", party.id, event.id, oldest.origin, self._reports_again(oldest)))
        if oldest.is_yield_requested and self.world.is_contended(oldest):
            self.answers.append(("yield", *oldest.origin))

    def _break(self, event: e.Break) -> None:
        """K1, K2, A1."""
        broken = [ask for ask in self.world.granted() if ask.token in event.tokens]
        for grant in broken:
            self._remember(grant)
            self._lose(grant, a.Loss(a.LossReason.BROKEN, event.detail))
        self._take_away(broken)
        self.answers.append(("broken", frozenset(grant.token for grant in broken)))

    def _lose(self, grant: Ask, loss: a.Loss) -> None:
        self.world.parties[grant.session].losses[grant.token] = grant.origin, loss
        self.answers.append(("lost", *grant.origin, *loss))

    def _end_if_left_alone(self, session: int) -> None:
        party = self.world.parties[session]
        has_something = party.losses or any(ask.session == session for ask in self.world.asks)
        if not party.is_attached and not has_something:
            self._end(session, a.EndReason.IDLE_DETACHED)


def _is_verdict(action: a.Action) -> TypeGuard[a.Failed | a.Reordered]:
    return isinstance(action, a.Reordered) or (isinstance(action, a.Failed) and action.reason is a.Reason.DEADLOCK)


def _is_possible(event: e.Acquire) -> bool:
    """M1."""
    names = [item.name for item in event.items]
    for name, demand, _ in event.items:
        if isinstance(demand, e.Permits):
            if not 1 <= demand.permits <= demand.limit <= LIMIT_MAX:
                return False
        elif event.is_tree and name.count("/") >= TREE_DEPTH_MAX:
            return False
    return 1 <= len(names) <= NAMES_ASKED_MAX and len(set(names)) == len(names)


def _covers(grant: Ask, items: tuple[e.Item, ...]) -> bool:
    """E1: whether a grant has all that is asked for, or more."""
    return not grant.ticket and all(_is_enough(grant.wants(item.name), item.demand) for item in items)


def _is_enough(held: e.Demand | None, wanted: e.Demand) -> bool:
    if isinstance(held, Mode) and isinstance(wanted, Mode):
        return CONFLICTS[held] >= CONFLICTS[wanted]
    if isinstance(held, e.Permits) and isinstance(wanted, e.Permits):
        return held.limit == wanted.limit and held.permits >= wanted.permits
    return False
