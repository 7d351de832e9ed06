"""How people are shown what came of ``lockctl chaos restart``."""

from __future__ import annotations

from lockd_client._words import count, duration

from .chaos_picture import Tally
from .output import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .chaos import Round
    from .output import Output


def show_rounds(rounds: Sequence[Round], output: Output) -> None:
    """Show what became of everything, and the verdict."""
    rows = [
        *_rows("probes", [each.probes for each in rounds]),
        *_rows("others", [each.others for each in rounds]),
    ]
    output.table(_COLUMNS, rows)
    pause = max(each.pause_seconds for each in rounds)
    call = max(each.longest_call_seconds for each in rounds)
    longest = "" if len(rounds) == 1 else f" in the longest of {len(rounds)} rounds"
    output.line(
        f"pause{longest}: {duration(pause)} until the next daemon answered; the longest call of a program that"
        f" worked on took {duration(call)}"
    )
    last = rounds[-1]
    output.line(
        f"others now: {count(last.attached + last.detached, 'session')}, {last.attached} attached and {last.detached}"
        " detached: those come back with their next call"
    )
    if any(row["tally"].ended_meanwhile for row in rows):
        output.line(
            "ENDED MEANWHILE: released, given up or served, as work goes on. From outside a loss would look the same;"
            " whether the daemon loses anything is what the probes tell, of which every step is known"
        )
    undescribed = max(each.undescribed for each in rounds)
    if undescribed:
        output.line(
            f"{count(undescribed, 'holder or waiter')} not compared: of each name the daemon describes the first few"
        )
    if last.lost:
        output.line(f"LOST: {count(len(last.lost), 'fault')}")
        for sentence in last.lost:
            output.line(f"- {sentence}")
    else:
        output.line("nothing was lost")


def _rows(whose: str, tallies: Sequence[Mapping[str, Tally]]) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for kind in tallies[0]:
        total = Tally()
        for each in tallies:
            total = total.plus(each[kind])
        rows.append({"what": f"{kind} of {whose}", "tally": total, "is_probe": whose == "probes"})
    return rows


def _of_others(row: Mapping[str, Any], number: int) -> object:
    return "-" if row["is_probe"] else number


_COLUMNS = (
    Column("WHAT", lambda row: row["what"]),
    Column("BEFORE", lambda row: row["tally"].before, align="right"),
    Column("THERE AGAIN", lambda row: row["tally"].there_again, align="right"),
    Column("ENDED MEANWHILE", lambda row: _of_others(row, row["tally"].ended_meanwhile), align="right"),
    Column("EXITED", lambda row: _of_others(row, row["tally"].exited), align="right"),
)
