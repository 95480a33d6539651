"""Random adapter files against the code that reads and merges them: each is merged as the file says, or refused.

python -m benchmarks.fuzz_adapters --files 10000 --seed 0

Between them one good adapter is merged again and again, and the image that it draws compared with the first one.
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.formats import be_quiet
from tests.oracle.expected import Layers
from tests.oracle.families import FAMILIES
from tests.oracle.formats import FORMATS
from tests.oracle.judge import Outcome, Verdict
from tests.oracle.loaders import Project
from tests.oracle.mutations import write_mutated
from tests.support.pipelines import drawable

DRAWS = "SD 1.5"
"""The family whose pipeline here really draws."""
SECONDS = 60
"""A file that takes longer hangs."""


@dataclass(frozen=True)
class Finding:
    """A file that was neither merged as it says nor refused."""

    number: int
    family: str
    format: str
    why: str


@contextmanager
def deadline() -> Iterator[None]:
    """Interrupt what takes too long.

    Raises:
        TimeoutError: it did.
    """

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


class Fuzz:
    """Pipelines of several families, and files for them by number: each is the same in every run of a seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed = seed
        self._file = folder / "adapter.safetensors"
        self._families = {**FAMILIES, DRAWS: replace(FAMILIES[DRAWS], make=drawable)}
        self._projects = {name: Project(family.build()) for name, family in self._families.items()}
        good = FORMATS["LoRA, kohya"].make(self._families[DRAWS], self._projects[DRAWS].pipeline)
        self._good = good.write(folder / "good" / "adapter.safetensors")
        self.outcomes: Counter[str] = Counter()
        self.findings: list[Finding] = []

    def run(self, number: int) -> None:
        """Make a file and have it judged."""
        random = np.random.default_rng((self._seed, number))
        name = str(random.choice(list(self._families)))
        form = str(random.choice([form for form in FORMATS if FORMATS[form].suits(self._families[name])]))
        project = self._projects[name]
        made = FORMATS[form].make(self._families[name], project.pipeline, seed=number)
        write_mutated(made, random, self._file)
        outcome = self._judge(name, made.layers, float(random.choice([1.0, 0.5, -1.0])))
        self.outcomes[outcome.verdict] += 1
        if outcome.verdict is Verdict.WRONG:
            self.findings.append(Finding(number, name, form, outcome.why))

    def _judge(self, name: str, layers: Layers, strength: float) -> Outcome:
        try:
            with deadline():
                return self._projects[name].judge(self._file, layers, strength)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            last = traceback.extract_tb(error.__traceback__)[-1]
            self._projects[name] = Project(self._families[name].build())
            where = f"{Path(last.filename).name}:{last.lineno}"
            return Outcome(Verdict.WRONG, f"{type(error).__name__} at {where}: {error}")

    def image(self) -> Any:
        """What a pipeline that the files went through draws with a good adapter."""
        project = self._projects[DRAWS]
        with project.merged(self._good):
            generator = torch.Generator().manual_seed(0)
            drawn = project.pipeline("a red circle", num_inference_steps=2, generator=generator, output_type="np")
        return drawn.images


def fuzz(files: int, seed: int, folder: Path, draw_every: int = 500) -> Mapping[str, Any]:
    """Run that many files, and return what became of them."""
    run = Fuzz(seed, folder)
    first = run.image()
    images = [True]
    for number in range(files):
        run.run(number)
        if number % draw_every == draw_every - 1:
            images.append(bool(np.array_equal(run.image(), first)))
    return {
        "files": files,
        "seed": seed,
        **{verdict.value: run.outcomes[verdict] for verdict in Verdict},
        "images": len(images),
        "images_alike": sum(images),
        "findings": [asdict(finding) for finding in run.findings],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    be_quiet()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(fuzz(options.files, options.seed, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
