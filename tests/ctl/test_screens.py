"""The screens in docs/lockctl.md are what lockctl says today."""

from __future__ import annotations

import re

from support.screens import PAGE, updated


def test_the_page_has_the_screens_of_today() -> None:
    page = PAGE.read_text("utf-8")
    assert len(re.findall("<!-- screen: ", page)) == page.count("<!-- end of screen -->") > 6
    # What is not true any more is put right, and nothing else is changed.
    assert updated(page.replace("5 waiters", "6 waiters")) == page, 'after "make screens" it is'
