"""The house as its imports show it: rooms, modules, lines, and the arrows between them."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGES = ("storage", "tasks", "workers", "api")


@dataclass(frozen=True)
class Module:
    """A Python file of the project."""

    name: str
    """As it is imported."""
    room: str
    """The folder that it lies in, as a package."""
    lines: int
    imports: frozenset[str]
    """Modules of the project that it imports, anywhere in it."""


@dataclass(frozen=True)
class House:
    """Every module below some packages, by name."""

    modules: Mapping[str, Module]

    @cached_property
    def rooms(self) -> Mapping[str, list[Module]]:
        """The modules of each room."""
        rooms: dict[str, list[Module]] = defaultdict(list)
        for module in self.modules.values():
            rooms[module.room].append(module)
        return dict(sorted(rooms.items()))

    @cached_property
    def arrows(self) -> frozenset[tuple[str, str]]:
        """From each module to those that it imports."""
        return frozenset((module.name, other) for module in self.modules.values() for other in module.imports)

    @cached_property
    def room_arrows(self) -> frozenset[tuple[str, str]]:
        """From each room to those that its modules import from."""
        pairs = ((self.modules[source].room, self.modules[target].room) for source, target in self.arrows)
        return frozenset((source, target) for source, target in pairs if source != target)


def read_house(root: Path, packages: Iterable[str] = PACKAGES) -> House:
    """Read the modules of some packages of a checkout."""
    files = {name_of(path.relative_to(root)): path for package in packages for path in (root / package).rglob("*.py")}
    return House({name: read_module(root, name, path, files) for name, path in files.items()})


def name_of(path: Path) -> str:
    """The name by which a file is imported."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_module(root: Path, name: str, path: Path, known: Mapping[str, Path]) -> Module:
    """Read a module, with the imports that lead to a ``known`` one."""
    text = path.read_text("utf-8")
    room = ".".join(path.parent.relative_to(root).parts)
    imports = frozenset(imported(imports_in(path), known)) - {name}
    return Module(name, room, text.count("\n"), imports)


@cache
def imports_in(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """The imports of a file, anywhere in it."""
    tree = ast.parse(path.read_text("utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def imported(nodes: Iterable[ast.Import | ast.ImportFrom], known: Mapping[str, Path]) -> Iterator[str]:
    """The known modules that are imported; of ``from package import module`` the module alone."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif node.module and not node.level:
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (member for member in members if member in known)
            if node.module in known and not all(member in known for member in members):
                yield node.module


def imported_packages(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in imports_in(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def floors(arrows: Iterable[tuple[str, str]], names: Iterable[str]) -> Mapping[str, int]:
    """The floor of each name: one above the highest that it imports; 0 where it imports nothing.

    Names in a circle share no order; an arrow that closes one is left out.
    """
    below: dict[str, set[str]] = {name: set() for name in names}
    for source, target in arrows:
        below[source].add(target)
    height: dict[str, int] = {}

    def climb(name: str, path: frozenset[str]) -> int:
        if name not in height:
            inner = path | {name}
            height[name] = max((1 + climb(other, inner) for other in sorted(below[name] - inner)), default=0)
        return height[name]

    for name in sorted(below):
        climb(name, frozenset())
    return height
