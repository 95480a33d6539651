"""``docker-compose.yml``, read as Docker reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.up import ROOT

TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
SECRETS: Mapping[str, str] = {"VALKEY_PASSWORD": "open-sesame", "S3_ACCESS_KEY": "key", "S3_SECRET_KEY": "secret"}

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)\}")


def compose_file(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in.

    Raises:
        KeyError: one that has no default is missing.
    """
    return dict(filled(yaml.safe_load(TEXT), variables))


def filled(node: Any, variables: Mapping[str, str]) -> Any:
    """A part of the file with its variables filled in."""

    def value(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if name is None:
            return "$"
        return variables[name] if default is None else variables.get(name, default)

    match node:
        case dict():
            return {key: filled(child, variables) for key, child in node.items()}
        case list():
            return [filled(child, variables) for child in node]
        case str():
            return _VARIABLE.sub(value, node)
    return node
