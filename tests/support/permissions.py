"""Who one is, and what one lets others do."""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module

import pytest

import lockd
import lockd_client
import lockd_wire

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

#: Uids that nobody on a machine has, as a rule.
SOMEBODY, SOMEBODY_ELSE = 54321, 54322


@contextmanager
def effective_uid(uid: int | None) -> Iterator[None]:
    """Be ``uid`` for as long as the block lasts; None is nobody but oneself.

    The kernel tells the peer of a connection the effective uid of whoever called connect(). What the block imports is
    imported before, as this user: the other one may not be able to read the sources at all.
    """
    if uid is None:
        yield
        return
    _import_all()
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


@contextmanager
def groups(gid: int, *supplementary: int) -> Iterator[None]:
    """Be in these groups, and in no other, for as long as the block lasts."""
    before, all_before = os.getegid(), os.getgroups()
    os.setgroups(supplementary)
    os.setegid(gid)
    try:
        yield
    finally:
        os.setegid(before)
        os.setgroups(all_before)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Have this umask for as long as the block lasts."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@cache
def _import_all() -> None:
    for package in (lockd, lockd_client, lockd_wire):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
