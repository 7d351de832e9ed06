"""The sources of the two distributions as data: which modules there are, and which of them imports which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parent.parent.parent

# Where the packages lie.
PACKAGES = {"lockd": REPOSITORY, "lockd_client": REPOSITORY / "client", "lockd_wire": REPOSITORY / "client"}


class Module(NamedTuple):
    """One source file."""

    name: str
    source: str
    is_package: bool = False

    @property
    def tree(self) -> ast.Module:
        return _parsed(self)


@cache
def _parsed(module: Module) -> ast.Module:
    """Parse a file once: each rule goes through all of them."""
    return ast.parse(module.source, module.name)


class Import(NamedTuple):
    """One module that another one imports."""

    target: str
    line: int
    runs_at_import: bool


def read_modules() -> dict[str, Module]:
    """Read every source file of the packages."""
    modules = {}
    for package, folder in PACKAGES.items():
        for path in sorted((folder / package).rglob("*.py")):
            words = path.relative_to(folder).with_suffix("").parts
            is_package = words[-1] == "__init__"
            name = ".".join(words[:-1] if is_package else words)
            modules[name] = Module(name, path.read_text("utf-8"), is_package)
    return modules


def imports_of(module: Module, known: dict[str, Module]) -> list[Import]:
    """Find what a module imports, anywhere in it; `from package import module` counts as an import of that module."""
    found = []
    for node, runs_at_import in _statements(module.tree):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, runs_at_import) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                below = f"{base}.{alias.name}"
                found.append(Import(below if below in known else base, node.lineno, runs_at_import))
    return found


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    words = module.name.split(".")
    ancestor = words[: len(words) - node.level + module.is_package]
    return ".".join([*ancestor, *([node.module] if node.module else [])])


def _statements(node: ast.AST, runs_at_import: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node below, and whether it runs as soon as the module is imported."""
    for child in ast.iter_child_nodes(node):
        is_deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
            isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        )
        yield child, runs_at_import
        yield from _statements(child, runs_at_import and not is_deferred)


def import_cycle(modules: dict[str, Module]) -> str | None:
    """Return a circle of modules that import each other while they are imported, or None."""
    needs = {
        module.name: {i.target for i in imports_of(module, modules) if i.runs_at_import and i.target in modules}
        for module in modules.values()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return None
