"""Sources of the lines of a backfill: JSON lines, a table, a list of prompts, or a product of lists."""

from __future__ import annotations

import csv
import itertools
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TextIO, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tasks.errors import InvalidRequest
from tasks.requests.job import JobRequest

Line = dict[str, Any]


def plain_type(annotation: object) -> type[int] | type[float] | type[str] | None:
    """Return the type of a field that is one number or one text; None for any other field."""
    classes = tuple(classes_in(annotation))
    kinds: tuple[type[int] | type[float] | type[str], ...] = (int, float, str)
    return next((kind for kind in kinds if any(issubclass(one, kind) for one in classes)), None)


def classes_in(annotation: object) -> Iterator[type]:
    """The classes that an annotation names."""
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from classes_in(part)


PLAIN_FIELDS: Mapping[str, type[int] | type[float] | type[str]] = MappingProxyType(
    {name: kind for name, field in JobRequest.model_fields.items() if (kind := plain_type(field.annotation))}
)
"""Fields of a request that are one number or one text, with their types."""


class Product(BaseModel):
    """Every prompt with every adapter at every scale from every seed, and fields that are the same for all."""

    model_config = ConfigDict(extra="forbid")

    prompts: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(min_length=1)
    adapters: tuple[str, ...] = ()
    scales: tuple[float, ...] = (1.0,)
    seeds: tuple[int, ...] = ()
    defaults: dict[str, Any] = Field(default_factory=dict)


def read_lines(source: str) -> Iterator[Line]:
    """The lines of a source, one after another: ``.jsonl``, ``.csv``, ``.txt``, ``.toml``, or ``-`` for JSON lines.

    Raises:
        InvalidRequest: it is not one of these, cannot be read, or does not have the format of its name.
    """
    if source == "-":
        yield from json_lines(sys.stdin)
        return
    path = Path(source)
    read = {".jsonl": json_lines, ".csv": table_rows, ".txt": prompts, ".toml": product_lines}.get(path.suffix)
    if read is None:
        raise InvalidRequest(
            f"{source} is not a .jsonl, .csv, .txt or .toml file. Rename it, or send JSON lines to '-'."
        )
    try:
        with path.open(encoding="utf-8", newline="" if read is table_rows else None) as file:
            yield from read(file)
    except OSError as error:
        raise InvalidRequest(f"{source} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{source} is not in UTF-8: {error}.") from error


def json_lines(file: TextIO) -> Iterator[Line]:
    """JSON objects, one a line."""
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except ValueError as error:
            raise InvalidRequest(f"Line {number} is not valid JSON: {error}.") from error
        if not isinstance(line, dict):
            raise InvalidRequest(f"Line {number} is not a JSON object.")
        yield line


def table_rows(file: TextIO) -> Iterator[Line]:
    """The rows of a table whose first row names the fields; an empty cell leaves its field out."""
    for row in csv.DictReader(file, strict=True):
        if None in row:
            raise InvalidRequest("A row of the table has more cells than its header.")
        yield {name: cell_value(name, cell) for name, cell in row.items() if cell}


def cell_value(name: str, cell: str) -> object:
    """A cell as the field of this name; ``adapters`` are references, separated by spaces."""
    if name == "adapters":
        return [{"ref": ref} for ref in cell.split()]
    try:
        return PLAIN_FIELDS.get(name, str)(cell)
    except ValueError as error:
        raise InvalidRequest(f"The cell {cell!r} in the column {name} is not a number.") from error


def prompts(file: TextIO) -> Iterator[Line]:
    """A prompt a line."""
    return ({"prompt": text.strip()} for text in file if text.strip())


def product_lines(file: TextIO) -> Iterator[Line]:
    """The lines of a product of lists."""
    try:
        product = Product.model_validate(tomllib.loads(file.read()))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise InvalidRequest(f"The product is invalid: {error}") from error
    adapters: Iterable[list[Line]] = (
        [{"ref": ref, "scale": scale}] for ref, scale in itertools.product(product.adapters, product.scales)
    )
    for wanted, prompt, seed in itertools.product(list(adapters) or [[]], product.prompts, product.seeds or (None,)):
        seeded = {} if seed is None else {"seed": seed}
        yield {**product.defaults, "prompt": prompt, "adapters": wanted, **seeded}


def completed(lines: Iterable[Line], defaults: Line) -> Iterator[Line]:
    """Yield the lines, completed by the defaults and by their number as ``custom_id``.

    A line of an OpenAI batch file has its own fields in ``body`` and stays as it is.
    """
    for number, line in enumerate(lines, start=1):
        yield line if "body" in line else {"custom_id": str(number), **defaults, **line}
