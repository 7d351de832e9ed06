"""The processes of the situation on the screens of docs/lockctl.md: a backup holds "db", and five workers wait for it.

Run as a program with the path of the clients' socket, it says "ready" when all stand where they belong, and everybody
is gone when its standard input ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from lockd_client import Client, DeadlockDetected, Lock, connect

WORKERS: Final = 5


class Prompter:
    """What a part is told, and says, in between."""

    def __init__(self, ready: int, go_on: int) -> None:
        self._ready, self._go_on = ready, go_on

    def tell(self) -> None:
        """Say that the others may go on."""
        os.write(self._ready, b"x")

    def rest(self) -> None:
        """Say the same, and wait to be told to go on. If nobody is left to say that, exit."""
        self.tell()
        if not os.read(self._go_on, 1):
            os._exit(0)


#: Returns what is to be kept: a handle that nobody has any more releases what it holds.
Part = Callable[[Client, Prompter], object]


class Player:
    """A process that plays a part."""

    def __init__(self, socket: str, program: str, part: Part) -> None:
        """Start it, and wait until it lets the others go on, or has exited."""
        self._ready, ready = os.pipe()
        go_on, self._go_on = os.pipe()
        if not os.fork():
            # The pipes of those before it are not its own: a rest ends when this process, the parent, does.
            os.closerange(3, min(self._ready, go_on))
            os.close(self._go_on)
            _play(socket, program, part, Prompter(ready, go_on))
        os.close(ready)
        os.close(go_on)
        self._wait()

    def go_on(self) -> None:
        """Let it go on, and wait until it has got to its next rest."""
        os.write(self._go_on, b"x")
        self._wait()

    def _wait(self) -> None:
        os.read(self._ready, 1)


def _play(socket: str, program: str, part: Part, prompter: Prompter) -> NoReturn:
    try:
        client = connect(socket, program=program)
        _kept = part(client, prompter)
        prompter.rest()
    finally:
        # Not as a Python exits: what is held then is left behind.
        os._exit(0)


def _die(client: Client, prompter: Prompter) -> None:
    with client.lock("feeds/42", label="import"):
        os._exit(1)


def _back_up(client: Client, prompter: Prompter) -> object:
    return _held(client.lock("db", label="nightly run"))


def _send_mail(client: Client, prompter: Prompter) -> object:
    return _held(client.semaphore("smtp", 5, permits=2, label="newsletter"))


def _give_way(client: Client, prompter: Prompter) -> None:
    mine = _held(client.lock("accounts/18", label="invoice 7"))
    prompter.rest()
    try:
        client.lock("accounts/17", label="invoice 7").acquire()
    except DeadlockDetected:
        mine.release()


def _transfer(client: Client, prompter: Prompter) -> object:
    first = _held(client.lock("accounts/17", label="transfer"))
    return first, _held(client.lock("accounts/18", label="transfer", on_wait=lambda wait: prompter.tell()))


def _worker(number: int) -> Part:
    def work(client: Client, prompter: Prompter) -> object:
        if number == 1:
            client.lock("db", label="order 1").acquire(blocking=False)
        timeout = 60 if number == WORKERS else -1
        label = f"order {number}"
        return _held(client.lock("db", label=label, timeout=timeout, on_wait=lambda wait: prompter.tell()))

    return work


def _held(lock: Lock) -> Lock:
    lock.acquire()
    return lock


def main(socket: str) -> None:
    """Let them come on, one after the other."""
    Player(socket, "importer", _die)
    os.wait()
    others = [Player(socket, "backup", _back_up), Player(socket, "mailer", _send_mail)]
    billing = Player(socket, "billing", _give_way)
    others.append(Player(socket, "payments", _transfer))
    billing.go_on()
    others += [Player(socket, "worker", _worker(number)) for number in range(1, WORKERS + 1)]
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
