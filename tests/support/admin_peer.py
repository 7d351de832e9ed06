"""A peer at the end of an admin socket that gives the answers that a test gives it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TypeAlias

from lockd_wire import messages as m
from lockd_wire.codec import TO_ADMIN, encode
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX

WELCOME = m.AdminWelcome(1, 1, "0.1.0")

Answer: TypeAlias = m.AdminReply | bytes


class Peer:
    """Answers each question with the next of its answers, and hangs up when there is none left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: list[Answer] = [WELCOME]
        self.heard: list[m.AdminRequest] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.is_over = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        decoder = FrameDecoder(FRAME_BYTES_MAX)
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        self._connection = connection
        with connection:
            while data := connection.recv(65_536):
                decoder.receive_data(data)
                while (body := decoder.peek()) is not None:
                    decoder.advance()
                    self.heard.append(TO_ADMIN.decode(body))
                    if not self.answers:
                        return
                    answer = self.answers.pop(0)
                    connection.sendall(answer if isinstance(answer, bytes) else encode(answer))
        self.is_over.set()

    def hang_up(self) -> None:
        """Go away."""
        assert self._connection is not None
        self._connection.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Make sure that nothing is left of it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
