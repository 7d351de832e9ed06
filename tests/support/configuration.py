"""Loading a configuration without a word from the machine that the tests run on."""

from __future__ import annotations

import grp
from collections.abc import Mapping
from typing import Final

import pytest

from lockd.config import Config, ConfigError, load

USER: Final = 1000
NOWHERE: Final = "/nowhere/lockd"

# Enough for a user's daemon whose directories do not matter.
DIRECTORIES: Final = {"LOCKD_RUNTIME_DIR": "/r", "LOCKD_STATE_DIR": "/s"}
GROUP: Final = grp.getgrall()[0].gr_name


def loaded(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    uid: int = USER,
    system_file: str = NOWHERE,
    system_runtime_dir: str = NOWHERE,
) -> Config:
    """Load a configuration, by default that of a user on a machine without a daemon of the system."""
    return load(
        flags or {},
        DIRECTORIES if environ is None else environ,
        uid=uid,
        system_file=system_file,
        system_runtime_dir=system_runtime_dir,
    )


def problems(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    system_runtime_dir: str = NOWHERE,
) -> list[str]:
    """Load a configuration that cannot be, and return what is said about it."""
    with pytest.raises(ConfigError) as caught:
        loaded(flags, environ, system_runtime_dir=system_runtime_dir)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems
