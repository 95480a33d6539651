"""``scripts/house``: the figures of the house, and what each room imports from."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.house import House, floors, read_house

ROOT = Path(__file__).parents[2]


def print_house(house: House) -> None:
    """Print a line for each room, and the figures of the whole."""
    height = floors(house.arrows, house.modules)
    heading = ("room", "modules", "lines", "floors", "imports from")
    print(f"{heading[0]:28} {heading[1]:>7} {heading[2]:>6} {heading[3]:>7}  {heading[4]}")
    for room, modules in house.rooms.items():
        names = {module.name for module in modules}
        inside = floors([(a, b) for a, b in house.arrows if a in names and b in names], names)
        others = sorted(target for source, target in house.room_arrows if source == room)
        lines = sum(module.lines for module in modules)
        print(f"{room:28} {len(modules):7} {lines:6} {max(inside.values()) + 1:7}  {' '.join(others)}")
    lines = sum(module.lines for module in house.modules.values())
    print(
        f"\n{len(house.modules)} modules, {lines} lines, {len(house.rooms)} rooms, {max(height.values()) + 1} floors, "
        f"{len(house.arrows)} arrows between modules, {len(house.room_arrows)} between rooms; "
        f"the largest room has {max(map(len, house.rooms.values()))} modules."
    )


if __name__ == "__main__":
    print_house(read_house(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
