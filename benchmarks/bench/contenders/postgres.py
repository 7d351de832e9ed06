"""PostgreSQL, by its advisory locks and psycopg."""

from __future__ import annotations

import os
import socket
import subprocess
import zlib

from bench.servers import Server, ServerFailed, accepts, find_program

from .base import Contender, Handle, Kind

_PLACES = "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"

#: The server refuses to be root. Packages make this user.
_USER = "postgres"


class Postgres(Contender):
    """``pg_advisory_lock`` and ``pg_advisory_unlock``, as prepared statements, each in a transaction of its own."""

    name = "psycopg"
    title = "PostgreSQL advisory lock, psycopg, Unix socket"
    kind = Kind.SERVICE
    driver = "psycopg"

    def __init__(self) -> None:
        self._server: Server | None = None
        self._directory = ""

    def missing(self) -> str | None:
        program = find_program("postgres", *_PLACES) and find_program("initdb", *_PLACES)
        return super().missing() or (None if program else "the server of PostgreSQL is not installed")

    def start(self, directory: str) -> None:
        self._directory = directory
        user = _USER if os.getuid() == 0 else None
        data = os.path.join(directory, "data")
        if user is not None:
            import shutil

            shutil.chown(directory, user, user)
        command = [str(find_program("initdb", *_PLACES)), "-D", data, "-U", _USER, "--auth=trust", "--no-sync"]
        made = subprocess.run(
            command, user=user, group=user, extra_groups=[] if user else None, cwd=directory, capture_output=True
        )
        if made.returncode:
            raise ServerFailed(f"initdb says: {made.stderr.decode(errors='replace').strip()}")
        settings = {"listen_addresses": "", "unix_socket_directories": directory, "max_connections": "200"}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        self._server = Server([str(find_program("postgres", *_PLACES)), "-D", data, *options], directory, user=user)
        self._server.wait_until(self._answers)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def connect(self, name: str) -> Handle:
        import psycopg

        connection = psycopg.connect(host=self._directory, user=_USER, dbname="postgres", autocommit=True)
        # From the first time on, not from the sixth.
        connection.prepare_threshold = 0
        execute, key = connection.execute, (zlib.crc32(name.encode()),)
        return Handle(
            lambda: execute("SELECT pg_advisory_lock(%s)", key),
            lambda: execute("SELECT pg_advisory_unlock(%s)", key),
            connection,
        )

    def _answers(self) -> bool:
        if not accepts(socket.AF_UNIX, os.path.join(self._directory, ".s.PGSQL.5432")):
            return False
        import psycopg

        try:
            psycopg.connect(host=self._directory, user=_USER, dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True
