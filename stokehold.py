"""The command line, ``stokehold COMMAND``. In a clone, without installation: ``scripts/stokehold COMMAND``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click

from tasks import __version__

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "up": ("stack.up", "Run the whole service on this machine, until Ctrl-C."),
        "smoke": ("stack.smoke", "Start the whole service, generate one image with each local adapter, and stop it."),
        "soak": ("stack.soak.__main__", "Break the service at random for minutes, and check what its clients saw."),
        "worker": ("workers.__main__", "Run a worker for one base model."),
        "keys": ("api.key_commands", "Create, list and revoke API keys."),
        "retry": ("api.retry_commands", "Queue failed jobs again."),
        "backfill": ("tasks.backfill.__main__", "Send a file of prompts, and fetch the images."),
        "replay": ("tasks.replay", "Print the request that generates an image again."),
    }
)
"""By name: the module whose ``main`` takes the arguments, and a sentence for the list of commands."""


class ModuleCommand(click.Command):
    """A command of another module, which is imported when the command runs: only ``worker`` imports torch."""

    def __init__(self, name: str, module: str, sentence: str) -> None:
        super().__init__(name, short_help=sentence)
        self._module = module

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave every argument to the module, ``--help`` too."""
        ctx.args = args
        return []

    def invoke(self, ctx: click.Context) -> None:
        """Run the module's ``main``.

        Raises:
            SystemExit: as the module does; or a package that it needs is not installed, and the message names it.
        """
        try:
            module = import_module(self._module)
        except ModuleNotFoundError as error:
            sys.exit(
                f"stokehold: {self.name} needs {error.name}, which is not installed. "
                "Install stokehold[worker,stack], or use scripts/stokehold in a clone."
            )
        module.main(ctx.args)


@click.group()
@click.version_option(__version__, prog_name="stokehold")
def main() -> None:
    """Image generation for many LoRAs on a few warm base models."""


for _name, (_module, _sentence) in COMMANDS.items():
    main.add_command(ModuleCommand(_name, _module, _sentence))


if __name__ == "__main__":
    main(prog_name="stokehold")
