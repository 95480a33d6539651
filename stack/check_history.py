"""Check a history that ``scripts/soak --history FILE`` has kept: ``python -m stack.check_history FILE``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from stack.history.checker import check
from stack.history.recorder import read_history


def main(arguments: Sequence[str] | None = None) -> None:
    """Print each violation as a line of JSON.

    Raises:
        SystemExit: there are some, or the file is not a history.
    """
    parser = argparse.ArgumentParser(prog="python -m stack.check_history", description=__doc__)
    parser.add_argument("file", type=Path)
    path = parser.parse_args(arguments).file
    try:
        violations = check(read_history(path))
    except (OSError, ValueError, ValidationError) as error:
        sys.exit(f"stokehold: {path} is not a history: {error}")
    for found in violations:
        print(json.dumps(found.as_dict()))
    if violations:
        sys.exit(f"stokehold: the history is not clean: {len(violations)} violations.")


if __name__ == "__main__":
    main()
