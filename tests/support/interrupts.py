"""Interrupts a call at every place where Python can, one place at a time.

Python runs signal handlers between bytecodes, but not between any two: at the start of a function, when a call of
something made in C has returned, and at the end of a turn of a loop. A tracer that is written in Python and raises
would raise at other places too, for instance between the end of a `with` block and the call of its `__exit__`, where no
interrupt ever comes and nothing could be done about one. So this one only *sets off* SIGINT at the n-th bytecode, and
leaves it to the interpreter to raise KeyboardInterrupt at the next real place.
"""

from __future__ import annotations

import gc
import operator
import signal
import sys
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, count, repeat
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import lockd_client
import lockd_wire

_WATCHED = tuple(f"{Path(package.__file__ or '').parent}/" for package in (lockd_client, lockd_wire))

#: An id that neither debuggers nor coverage use.
_TOOL = 4


def every_place(call: Callable[[], object], *, step: int = 1, again_after: int = 0) -> Iterator[int]:
    """Interrupt ``call`` at its first bytecode, yield, interrupt it at its second, and so on until it is not
    interrupted.

    What is yielded is how far it came. Only bytecodes of the client and of the wire package count. Between the calls
    the test looks whether everything is in order.

    Args:
        step: How many bytecodes to go on each time.
        again_after: If not 0, interrupt a second time that many bytecodes later: while it cleans up, that is.
    """
    with _cheap_collections():
        for number in count(1, step):
            places = (number, number + again_after) if again_after else (number,)
            with _interrupted_at(places) as was_set_off, suppress(KeyboardInterrupt):
                try:
                    call()
                    # It may have been set off so late that no place was left in the call.
                    _a_place_to_interrupt()
                except KeyboardInterrupt:
                    # So may the second.
                    _a_place_to_interrupt()
            yield number
            if not was_set_off():
                return


@contextmanager
def _interrupted_at(places: tuple[int, ...]) -> Iterator[Callable[[], bool]]:
    """Set off SIGINT at these bytecodes of the block, and yield a function that tells whether it came to the first."""
    progress = count(1)
    reached: list[int] = []

    def is_the_one(code: CodeType) -> bool:
        if len(reached) == len(places) or not code.co_filename.startswith(_WATCHED):
            return False
        place = next(progress)
        if place in places:
            reached.append(place)
        return place in places

    with (
        _without_collections(),
        _monitored(is_the_one) if sys.version_info >= (3, 12) else _traced(is_the_one) as go_on,
    ):

        def interrupt(number: int, frame: FrameType | None) -> None:
            go_on(frame)
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield lambda: bool(reached)
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _cheap_collections() -> Iterator[None]:
    """Have what is there by now left alone by the collector. Tests that have it collect after each place would spend
    their time on what all the tests before them have left."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let no garbage be collected. What tests before have left would be, at any moment, and an interrupt that hits a
    finalizer or a callback of the collector ends nothing: Python reports it and goes on."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# Both of these call `is_the_one` before each bytecode. From the one at which SIGINT was set off to the handler they
# call nothing that is written in Python; the handler then has them go on, by the function that they yield.


@contextmanager
def _monitored(is_the_one: Callable[[CodeType], bool]) -> Iterator[Callable[[FrameType | None], None]]:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined]  # mypy takes this to be Python 3.11
    event = monitoring.events.INSTRUCTION

    def look(code: CodeType, offset: int) -> object:
        if is_the_one(code):
            monitoring.register_callback(_TOOL, event, _set_off())
        return None if code.co_filename.startswith(_WATCHED) else monitoring.DISABLE

    monitoring.use_tool_id(_TOOL, "interrupts")
    monitoring.register_callback(_TOOL, event, look)
    monitoring.restart_events()
    monitoring.set_events(_TOOL, event)
    try:
        yield lambda frame: monitoring.register_callback(_TOOL, event, look)
    finally:
        monitoring.set_events(_TOOL, 0)
        monitoring.register_callback(_TOOL, event, None)
        monitoring.free_tool_id(_TOOL)


@contextmanager
def _traced(is_the_one: Callable[[CodeType], bool]) -> Iterator[Callable[[FrameType | None], None]]:
    def enter(frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(_WATCHED):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return look

    def look(frame: FrameType, event: str, argument: object) -> Any:
        return _set_off() if event == "opcode" and is_the_one(frame.f_code) else look

    def go_on(frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_trace is not None:
                frame.f_trace = look
            frame = frame.f_back

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield go_on
    finally:
        sys.settrace(before)


def _set_off() -> Callable[..., None]:
    """Return a function that sets off SIGINT when it is called for the first time, with whatever arguments.

    It is made of C alone. Of a Python function the first bytecode would be the place at which the interrupt is raised.
    """
    # Looked up for None, which has to be the least for `min` to return it, and for the arguments.
    keys = chain((False,), map(operator.not_, map(interrupt_main, (signal.SIGINT,))), repeat(False))
    return partial(min, None, key=partial(next, keys))


def _a_place_to_interrupt() -> None:
    """Do nothing, at the start of a function."""
