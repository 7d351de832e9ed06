"""How long and how large: the whole run of some 20 minutes, the quick one of two, and the least, for the tests."""

from __future__ import annotations

from typing import NamedTuple


class Scale(NamedTuple):
    """For how long each kind of work goes on, in seconds, and how far the sizes go."""

    pairs_seconds: float
    #: Processes on one name, and for how long.
    crowds: dict[int, float]
    #: Processes that each have a name of their own.
    many_names: int
    many_names_seconds: float
    database_processes: int
    database_seconds: float
    #: How often each command is started in a round.
    starts: int
    connections_max: int
    names_max: int
    waiters_max: int
    recovered: int
    #: Pairs in each of the five looks that are taken at each size.
    probe_pairs: int
    #: Hand-overs that are timed at each number of waiters.
    probe_hand_overs: int
    grants_seconds: float
    idle_seconds: float


FULL = Scale(
    pairs_seconds=1.5,
    crowds={20: 5.0, 50: 5.0},
    many_names=20,
    many_names_seconds=2.0,
    database_processes=50,
    database_seconds=3.0,
    starts=10,
    connections_max=10_000,
    names_max=1_000_000,
    waiters_max=100_000,
    recovered=100_000,
    probe_pairs=2_000,
    probe_hand_overs=200,
    grants_seconds=60.0,
    idle_seconds=10.0,
)

QUICK = FULL._replace(
    pairs_seconds=0.4,
    crowds={20: 1.0, 50: 1.0},
    many_names_seconds=0.5,
    database_seconds=0.5,
    starts=5,
    connections_max=1_000,
    names_max=10_000,
    waiters_max=1_000,
    recovered=10_000,
    probe_pairs=500,
    grants_seconds=5.0,
    idle_seconds=3.0,
)


def with_seconds(scale: Scale, seconds: float) -> Scale:
    """Return the same with another length of everything that is done for a time."""
    return scale._replace(
        pairs_seconds=seconds,
        crowds=dict.fromkeys(scale.crowds, seconds),
        many_names_seconds=seconds,
        database_seconds=seconds,
        grants_seconds=seconds,
    )
