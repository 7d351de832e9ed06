"""The program of an actor (`support.actor`): a Python prompt that reads and answers lines of JSON."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any


def evaluated(code: str, names: dict[str, Any]) -> Any:
    """Run an expression and return its value, or run statements."""
    try:
        compiled = compile(code, "<typed by a test>", "eval")
    except SyntaxError:
        exec(code, names)
        return None
    return eval(compiled, names)


def answer_to(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """Return what came of it."""
    try:
        return {"value": evaluated(code, names)}
    except Exception as error:
        return {"raised": f"{type(error).__name__}: {error}"}


def serve(names: dict[str, Any]) -> None:
    """Run what comes over standard input, which is a socket, until it ends."""
    with socket.socket(fileno=0) as channel, channel.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            stream.write(json.dumps(answer_to(json.loads(line), names), default=repr) + "\n")
            stream.flush()


def fork() -> int:
    """Fork, and have the child serve the other socket."""
    pid = os.fork()
    if pid == 0:
        os.dup2(int(sys.argv[1]), 0)
        serve(names)
        os._exit(os.EX_OK)
    return pid


# Of the module, so that nothing in it is collected before the process exits.
names: dict[str, Any] = {"fork": fork, "os": os}
serve(names)
