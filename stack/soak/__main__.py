"""Minutes of random faults under load on the real stack, and a check of the outcome: ``scripts/soak``."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stack.errors import StackError
from stack.soak.report import Report
from stack.soak.run import Plan, soak
from stack.supervisor import say_now
from storage import StorageError
from tasks.errors import StokeholdError


def main(arguments: Sequence[str] | None = None) -> None:
    """Soak, and print the report.

    Raises:
        SystemExit: a rule was broken, or the stack does not start.
    """
    parser = argparse.ArgumentParser(prog="stokehold soak", description=__doc__)
    parser.add_argument("minutes", type=float, help="of faults; the start and the end take a few more")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and clients, to see them once more")
    parser.add_argument("--only", action="append", metavar="FAULT", help="no other kinds of fault; may be given again")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the output, all else on stderr")
    parser.add_argument("--history", type=Path, default=None, help="file in which to keep what the clients did and saw")
    options = parser.parse_args(arguments)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    tell(f"Seed: {seed}")
    try:
        with tempfile.TemporaryDirectory(prefix="stokehold-soak-") as folder:
            plan = Plan(options.minutes * 60, random.Random(seed), options.only, options.history)
            report = soak(plan, Path(folder), tell)
    except (StackError, StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")
    say_now(json.dumps(report.as_dict()) if options.json else table(report))
    if not report.is_clean:
        sys.exit("stokehold: the soak is not clean.")


def tell(line: str) -> None:
    """Print the progress to stderr, beside the result."""
    print(line, file=sys.stderr, flush=True)


def table(report: Report) -> str:
    """Return the report as a table."""
    fields = report.as_dict()
    return "\n".join(f"  {name:<12} {value}" for name, value in fields.items())


if __name__ == "__main__":
    main()
