"""A simulated user that registers adapters."""

from __future__ import annotations

import random
from collections.abc import Mapping

from stack.soak.adapter_file import adapter_file
from stack.soak.recorded_client import RecordedClient
from stack.soak.user import Act, SimulatedUser, within_limits

MOST = 4


class AdapterUser(SimulatedUser):
    """Registers adapters, both ways, lists them and removes some.

    Attributes:
        usable: names of those that are registered.
        unsettled: by name, files of those whose outcome is unknown.
    """

    def __init__(self, client: RecordedClient, choice: random.Random) -> None:
        super().__init__(client, choice)
        self.usable: list[str] = []
        self.unsettled: dict[str, bytes] = {}

    @property
    def acts(self) -> Mapping[Act, int]:
        return {
            self.register: 3,
            self.send_again: 3,
            self.remove: 1,
            self.client.list_adapters: 2,
        }

    def settle(self) -> bool:
        for name in tuple(self.unsettled):
            self.send(name)
        return not self.unsettled

    def look_at_all(self) -> None:
        within_limits(self.client.list_adapters)

    def register(self) -> None:
        """Register an adapter under a name that another adapter may have had before."""
        name = f"{self.client.caller.owner}-{self.choice.randrange(2 * MOST)}"
        if len(self.usable) < MOST and name not in (*self.usable, *self.unsettled):
            self.unsettled[name] = adapter_file(self.choice.randrange(10**6))
            self.send(name)

    def send(self, name: str) -> None:
        """Register an adapter, for the first time or again. A name that is taken was taken by the first try."""
        content = self.unsettled[name]
        register = self.choice.choice((self.client.send_adapter, self.client.put_adapter))
        if (reply := register(name, content)).is_settled:
            del self.unsettled[name]
            if reply.is_done:
                self.usable.append(name)

    def send_again(self) -> None:
        """Register an adapter again whose outcome is unknown."""
        if self.unsettled:
            self.send(self.choice.choice(tuple(self.unsettled)))

    def remove(self) -> None:
        """Remove an adapter, and use it no more, whatever the response is."""
        if self.usable:
            name = self.usable.pop(self.choice.randrange(len(self.usable)))
            self.client.remove_adapter(name)
