"""The table of options in docs/configuration.md, which is made from the code.

Run as a program, this writes it anew: python tests/support/configuration_page.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from lockd.options import Option
from lockd.settings import describe

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "configuration.md"

# Dollars would be taken for the marks of a formula.
_WORD_OF_SHELL: Final = re.compile(r"(?:\$|~?/)[\w./]+")
_TABLE: Final = re.compile(r"(?<=<!-- options -->\n).*?(?=<!-- end of options -->)", re.DOTALL)


def table() -> str:
    """Return the options as Markdown."""
    lines = []
    section: str | None = None
    for option in describe():
        if option.section != section:
            section = option.section
            heading = f"`[{section}]`" if section else "Above all sections"
            lines += ["", f"### {heading}", "", "| option | default | allowed | unit | why |", "|---|---|---|---|---|"]
        lines.append(_row(option))
    return "\n".join([*lines, "", ""])


def updated(page: str) -> str:
    """Return ``page`` with the table of today in the place of the one it has."""
    found, count = _TABLE.subn(lambda _: table(), page)
    assert count == 1, "the page has lost the comments between which the table stands"
    return found


def _row(option: Option) -> str:
    literal = option.default == option.example
    default = f"`{option.default}`" if literal else _WORD_OF_SHELL.sub(r"`\g<0>`", option.default)
    cells = (f"`{option.name}`<br>`{option.environment}`", default, option.allowed, option.unit, option.reason)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")
