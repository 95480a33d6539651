"""Every regular expression of the project, read from its source, and texts that make one slow if anything does."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import _constants as c
from re import _parser as parser
from typing import Any, TypeGuard

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "benchmarks", "demo", "stack", "storage", "tasks", "workers")
ANCHORED = {"match", "fullmatch"}
"""Methods that look at the beginning of a text alone; any other tries every place."""
MODULE_FUNCTIONS = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
MAY_HAVE_PATTERNS = re.compile(rf"\bre\.(?:{'|'.join(sorted(MODULE_FUNCTIONS))})\(|\bpattern=")


@dataclass(frozen=True)
class Pattern:
    """A regular expression, where it is, and whether it is only ever looked for at the beginning of a text."""

    where: str
    text: str
    flags: int
    anchored: bool

    def __str__(self) -> str:
        return f"{self.where} {self.text[:60]}"

    def run(self, text: str) -> None:
        """Look for it as the project does, as often as the text has it."""
        compiled = re.compile(self.text, self.flags)
        if self.anchored:
            compiled.fullmatch(text)
            compiled.match(text)
        else:
            compiled.sub("", text)


def patterns_of_the_project() -> list[Pattern]:
    """Those of Python's ``re``, of pydantic's ``pattern=``, and of Lua."""
    sources = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    of_python = [pattern for path in sources for pattern in patterns_in(path.read_text("utf-8"), short(path))]
    scripts = sorted((ROOT / "tasks").rglob("*.lua"))
    of_lua = [pattern for path in scripts for pattern in lua_patterns_in(path.read_text("utf-8"), short(path))]
    return of_python + of_lua


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def patterns_in(source: str, where: str) -> Iterator[Pattern]:
    """The patterns of a module.

    Raises:
        ValueError: one is put together in a way that cannot be read here.
    """
    if not MAY_HAVE_PATTERNS.search(source):
        return
    nodes = nodes_of(source)
    constants = imported_constants(nodes) | constants_of(nodes)
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        place = f"{where}:{node.lineno}"
        for keyword in node.keywords:
            if keyword.arg == "pattern":
                yield Pattern(place, text_of(keyword.value, constants, place), 0, anchored=False)
        function = node.func
        if not is_of_re(function):
            continue
        text = text_of(node.args[0], constants, place)
        if function.attr == "compile":
            yield Pattern(place, text, flags_of(node), is_anchored(nodes, node))
        else:
            yield Pattern(place, text, flags_of(node), function.attr in ANCHORED)


def nodes_of(source: str) -> list[ast.AST]:
    """Every node of a module: a tree is walked once, since that takes longer than to parse it."""
    return list(ast.walk(ast.parse(source)))


def constants_of(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """What the names of a module stand for."""
    constants: dict[str, ast.expr] = {}
    of_tuples: dict[str, ast.expr] = {}
    for node in nodes:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                constants[target.id] = node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                of_tuples |= names_of_tuple(target, node.value)
    return constants | of_tuples


def names_of_tuple(target: ast.Tuple, values: ast.Tuple) -> dict[str, ast.expr]:
    """The constants that are assigned several at a time."""
    pairs = zip(target.elts, values.elts, strict=True)
    return {name.id: value for name, value in pairs if isinstance(name, ast.Name)}


@cache
def constants_in(path: Path) -> dict[str, ast.expr]:
    """What the names of a file's module stand for."""
    return constants_of(nodes_of(path.read_text("utf-8")))


def imported_constants(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """What the names that a module imports from another of ours stand for."""
    return {
        alias.asname or alias.name: value
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES
        if (path := ROOT / f"{(node.module or '').replace('.', '/')}.py").is_file()
        for alias in node.names
        if (value := constants_in(path).get(alias.name)) is not None
    }


def is_of_re(function: ast.expr) -> TypeGuard[ast.Attribute]:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in MODULE_FUNCTIONS
    )


def text_of(node: ast.expr, constants: dict[str, ast.expr], place: str) -> str:
    """The value of an expression of constants."""
    return str(value_of(node, constants, place))


def value_of(node: ast.expr, constants: dict[str, ast.expr], place: str) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part, constants, place) for part in parts)
        case ast.FormattedValue(value=value):
            return value_of(value, constants, place)
        case ast.BinOp(op=ast.Add() | ast.Sub() as op, left=left, right=right):
            first, second = (value_of(side, constants, place) for side in (left, right))
            return first + second if isinstance(op, ast.Add) else first - second
        case ast.Name(id=name) if name in constants:
            return value_of(constants[name], constants, place)
    raise ValueError(f"{place}: write the pattern as a constant, so that it can be measured")


def flags_of(call: ast.Call) -> int:
    arguments = (*call.args[1:], *(keyword.value for keyword in call.keywords))
    names = {node.attr for argument in arguments for node in ast.walk(argument) if isinstance(node, ast.Attribute)}
    return int(sum(flag for flag in re.RegexFlag if flag.name in names))


def is_anchored(nodes: Iterable[ast.AST], compiled: ast.Call) -> bool:
    """Return whether a compiled pattern has a name, and its module uses that only for ``match`` and ``fullmatch``."""
    names = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and node.value is compiled
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    methods = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names
    }
    return bool(methods) and methods <= ANCHORED


def lua_patterns_in(source: str, where: str) -> Iterator[Pattern]:
    """Lua's patterns are written as Python's where they have no classes of Lua's own, and go back as they do."""
    for number, line in enumerate(source.splitlines(), start=1):
        for found in re.finditer(r"string\.(?:match|gsub|gmatch)\(.*, '([^']*)'", line):
            yield Pattern(f"{where}:{number}", found[1].replace("%", "\\"), 0, anchored=False)


def samples(pattern: Pattern) -> list[str]:
    """Short texts that match, or nearly do: with few and with more repetitions, and with each branch."""
    tree = parser.parse(pattern.text, pattern.flags)
    ways = ((0, 0), (1, 1), (3, 2), (1, 3))
    made = {"".join(Sample(repeats, branch).of(tree)) for repeats, branch in ways}
    return sorted(sample[:40] for sample in made if sample)


class Sample:
    """Makes one text of a parsed pattern.

    Args:
        repeats: how often what may be repeated is, within its bounds.
        branch: which of several ways is taken.
    """

    def __init__(self, repeats: int, branch: int) -> None:
        self._repeats, self._branch = repeats, branch
        self._groups: dict[int, str] = {}
        self._makers: dict[Any, Callable[[Any], str]] = {
            c.LITERAL: chr,
            c.NOT_LITERAL: lambda value: "b" if value == ord("a") else "a",
            c.ANY: lambda _: "a",
            c.IN: self._in_class,
            c.BRANCH: lambda value: self._join(value[1][branch % len(value[1])]),
            c.SUBPATTERN: self._group,
            c.ATOMIC_GROUP: self._join,
            c.ASSERT: lambda value: self._join(value[1]) if value[0] > 0 else "",
            c.GROUPREF: lambda value: self._groups.get(value, ""),
            **dict.fromkeys((c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT), self._repeat),
        }

    def of(self, tree: Sequence[tuple[Any, Any]]) -> Iterator[str]:
        return (self._one(op, value) for op, value in tree)

    def _one(self, op: Any, value: Any) -> str:
        make = self._makers.get(op)
        return "" if make is None else make(value)

    def _join(self, tree: Sequence[tuple[Any, Any]]) -> str:
        return "".join(self.of(tree))

    def _group(self, value: Any) -> str:
        self._groups[value[0]] = text = self._join(value[3])
        return text

    def _repeat(self, value: Any) -> str:
        least, most, inner = value
        return "".join(self._join(inner) for _ in range(int(min(max(least, self._repeats), most))))

    def _in_class(self, members: Sequence[tuple[Any, Any]]) -> str:
        if members[0][0] is c.NEGATE:
            return next(char for char in "a1:/.\\!" if not is_member(char, members[1:]))
        op, value = members[self._branch % len(members)]
        if op is c.LITERAL:
            return chr(value)
        if op is c.RANGE:
            return chr(value[0])
        return {c.CATEGORY_DIGIT: "1", c.CATEGORY_SPACE: " "}.get(value, "a")


def is_member(char: str, members: Sequence[tuple[Any, Any]]) -> bool:
    """Return whether a class without categories has a character; one with whitespace has none of those tried."""
    return any(
        (op is c.LITERAL and chr(value) == char) or (op is c.RANGE and value[0] <= ord(char) <= value[1])
        for op, value in members
    )


@dataclass(frozen=True)
class Hostile:
    """Texts of nearly any length: a piece again and again, never cut, behind a head and before a tail."""

    head: str
    piece: str
    tail: str

    def text(self, length: int) -> str:
        return self.head + self.piece * (length // len(self.piece)) + self.tail


def hostile_texts(samples: Iterable[str]) -> list[Hostile]:
    """Every prefix and end of each sample repeated, every place of it pumped, and each before what matches nothing."""
    return sorted({family for sample in samples for family in families_of(sample)}, key=str)


def families_of(sample: str) -> Iterator[Hostile]:
    for place, char in enumerate(sample):
        yield Hostile("", sample[: place + 1], "")
        yield Hostile("", sample[: place + 1], "\0")
        yield Hostile(sample[:place], char, "\0")
    for count in range(1, min(len(sample), 6)):
        yield Hostile("", sample[-count:], "")
