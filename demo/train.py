"""Makes the demo's base model and LoRAs from nothing: `python -m demo.train`."""

from argparse import ArgumentParser
from pathlib import Path

from demo.train_base import BaseRecipe, train_base
from demo.train_loras import RECIPES, train_lora
from demo.train_vae import VaeRecipe, train_vae

FOLDER = Path(__file__).parent
STAGES = ("vae", "base", "loras")


def main() -> None:
    """Run the stages that are asked for, in their order."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES, help="all of them by default")
    parser.add_argument("--loras", nargs="+", help="only the LoRAs of these names")
    arguments = parser.parse_args()
    base, loras = FOLDER / "base", FOLDER / "loras"
    if "vae" in arguments.stages:
        train_vae(VaeRecipe(), base / "vae")
    if "base" in arguments.stages:
        train_base(BaseRecipe(), base / "vae", base)
    if "loras" in arguments.stages:
        loras.mkdir(exist_ok=True)
        for recipe in RECIPES:
            if not arguments.loras or recipe.name in arguments.loras:
                train_lora(recipe, base, loras)


if __name__ == "__main__":
    main()
