"""Every format of adapters for every family of base models: is each weight what the file says, here and in diffusers?

python -m benchmarks.formats                 the table, as docs/formats.md has it
python -m benchmarks.formats --write         the table into docs/formats.md
python -m benchmarks.formats --json          counts, and every pair
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tests.oracle.families import FAMILIES
from tests.oracle.formats import FORMATS
from tests.oracle.judge import Outcome, Verdict
from tests.oracle.loaders import Project, judge_diffusers

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"
START, END = "<!-- benchmarks.formats -->\n", "<!-- end -->\n"
NOTHING = "-"
"""The cell of a format that does not exist for a family."""


@dataclass(frozen=True)
class Pair:
    """A format, a family, and how the file fared."""

    format: str
    family: str
    project: Outcome
    diffusers: Outcome

    @property
    def cell(self) -> str:
        return f"{self.project.verdict} / {self.diffusers.verdict}"


def measure() -> Iterator[Pair]:
    """Make each file, and have it merged twice."""
    for family_name, family in FAMILIES.items():
        project = Project(family.build())
        for number, (name, form) in enumerate(FORMATS.items()):
            if not form.suits(family):
                continue
            with tempfile.TemporaryDirectory() as folder:
                made = form.make(family, project.pipeline, seed=number)
                path = made.write(Path(folder) / "adapter.safetensors")
                own = project.judge(path, made.layers)
                theirs = judge_diffusers(family.build(), path, made.layers)
            yield Pair(name, family_name, own, theirs)


def counts(pairs: list[Pair]) -> dict[str, Any]:
    """The figures, and every pair with its reasons."""

    def number(verdict: Verdict) -> int:
        return sum(pair.project.verdict is verdict for pair in pairs)

    return {
        "diffusers": version("diffusers"),
        "formats": len({pair.format for pair in pairs}),
        "families": len({pair.family for pair in pairs}),
        "pairs": len(pairs),
        "exact": number(Verdict.EXACT),
        "partly": number(Verdict.PARTLY),
        "refused_with_reason": number(Verdict.REFUSED),
        "wrong": number(Verdict.WRONG),
        "differs_from_diffusers": sum(pair.diffusers.verdict is not pair.project.verdict for pair in pairs),
        "exact_in_diffusers": sum(pair.diffusers.verdict is Verdict.EXACT for pair in pairs),
        "wrong_in_diffusers": sum(pair.diffusers.verdict is Verdict.WRONG for pair in pairs),
        "rows": [
            {
                "format": pair.format,
                "family": pair.family,
                "project": [pair.project.verdict, pair.project.why],
                "diffusers": [pair.diffusers.verdict, pair.diffusers.why],
            }
            for pair in pairs
        ],
    }


def table(pairs: list[Pair]) -> str:
    """One row for each format, one column for each family."""
    cells = {(pair.format, pair.family): pair.cell for pair in pairs}
    lines = [f"| | {' | '.join(FAMILIES)} |", f"| --- |{' --- |' * len(FAMILIES)}"]
    for name in FORMATS:
        row = (cells.get((name, family), NOTHING) for family in FAMILIES)
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def write_page(pairs: list[Pair]) -> None:
    """Put the table and its counts between the marks of the page."""
    figures = counts(pairs)
    summary = (
        f"{figures['pairs']} pairs of {figures['formats']} formats and {figures['families']} families: "
        f"{figures['exact']} exact here, {figures['refused_with_reason']} refused with a sentence; "
        f"{figures['exact_in_diffusers']} exact in diffusers {figures['diffusers']}, "
        f"{figures['wrong_in_diffusers']} wrong there without a word.\n"
    )
    before, _, rest = PAGE.read_text("utf-8").partition(START)
    PAGE.write_text(f"{before}{START}\n{summary}\n{table(pairs)}\n{END}{rest.partition(END)[2]}", "utf-8")


def be_quiet() -> None:
    """Let the libraries say nothing: what they drop is what is measured."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="counts and every pair, as JSON")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    options = parser.parse_args()
    be_quiet()
    torch.set_num_threads(1)
    pairs = list(measure())
    if options.write:
        write_page(pairs)
    print(json.dumps(counts(pairs), indent=2) if options.json else table(pairs))


if __name__ == "__main__":
    main()
