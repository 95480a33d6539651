"""Documents name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OLD = {"CHANGELOG.md"}
"""They tell of files that may be gone."""
FOLDERS = "api|benchmarks|demo|docs|scripts|stack|storage|tasks|tests|workers"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w/.-]*\w/?)`")
LINK = re.compile(r"\]\(([\w./-]+)(?:#[\w-]+)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    named = set() if document.name in OLD else set(NAMED.findall(text))
    linked = {target for target in LINK.findall(text) if "://" not in target}

    missing = {name for name in named if not (ROOT / name).exists()}
    missing |= {target for target in linked if not (document.parent / target).exists()}

    assert missing == set()
