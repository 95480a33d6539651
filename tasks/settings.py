"""Every setting of Stokehold, read once from the environment (prefix ``STOKEHOLD_``).

Nothing else in the project reads the environment. A wrong value ends the process at start with a sentence that names
the setting, its value and what is expected.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tasks.fields import ImageFormat
from tasks.logs import redact

PREFIX = "STOKEHOLD_"


class Device(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


class AcceptedWhen(StrEnum):
    """The place where an accepted request must be before its 202."""

    RECORDED = "recorded"
    """In Valkey, which writes it to disk as its own ``appendfsync`` says."""
    ON_DISK = "on_disk"
    """In Valkey's append-only file, on disk."""
    ON_REPLICA = "on_replica"
    """In a replica of Valkey, too."""


class Settings(BaseSettings):
    """The settings, frozen. The README's table has the description of each field."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    valkey_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Valkey or Redis: queues and job store; one server, by `redis://` or `rediss://`",
    )
    accepted_when: AcceptedWhen = Field(
        AcceptedWhen.RECORDED,
        description="where a job must be before its 202: `recorded`, `on_disk` or `on_replica` "
        "([durability.md](docs/durability.md))",
    )
    s3_endpoint: str | None = Field(None, pattern="^https?://", description="S3-compatible endpoint; unset means AWS")
    s3_public_endpoint: str | None = Field(
        None, pattern="^https?://", description="the endpoint as clients reach it, for presigned URLs; unset: the same"
    )
    s3_region: str = Field("us-east-1", description="region to sign for")
    s3_bucket: str = Field("stokehold", min_length=3, max_length=63, description="bucket of everything that is stored")
    s3_access_key: str | None = Field(None, description="access key; unset means that boto3 searches for it")
    s3_secret_key: SecretStr | None = Field(None, description="secret key; unset means that boto3 searches for it")
    s3_create_bucket: bool = Field(True, description="create the bucket at start if it is missing")
    public_base_url: str | None = Field(
        None, pattern="^https?://", description="base URL of the public bucket, or of a CDN; unset: presigned URLs"
    )
    s3_public_bucket: str | None = Field(
        None,
        min_length=3,
        max_length=63,
        validate_default=True,
        description="public bucket, which holds nothing but images; needed with `STOKEHOLD_PUBLIC_BASE_URL`",
    )
    url_ttl_s: PositiveInt = Field(3600, le=604_800, description="seconds that a presigned URL is valid")
    image_format: ImageFormat = Field(ImageFormat.PNG, description="default format: `png`, `jpeg` or `webp`")

    models_file: Path = Field(Path("models.toml"), description="the base models served")
    adapter_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (Path("demo/loras"),), description="adapter folders, separated by `:`"
    )
    adapter_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",),
        description="hosts, separated by `,`, from whose `https` addresses adapters are taken, with all below them; "
        "`*` is any, `none` is none",
    )
    adapter_tokens: SecretStr | None = Field(
        None, description="tokens for such hosts, as `civitai.com=...`, separated by `,`; one goes to its host alone"
    )
    adapter_s3_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="what `s3` addresses of adapters may begin with, as `s3://bucket/loras/`, separated by `,`"
    )
    adapter_allow_loopback: bool = Field(
        False, description="also take adapters from addresses of this machine, over plain http, for tests"
    )
    resolution_ttl_s: NonNegativeFloat = Field(300, description="seconds that a resolved reference is remembered")

    device: Device = Field(Device.AUTO, description="`cpu`, `cuda`, `mps` or `auto` (the best there is)")
    concurrency: PositiveInt = Field(
        3, description="threads of a worker for interactive jobs: one prepares, one draws, one publishes"
    )

    adapter_memory_bytes: PositiveInt = Field(2 << 30, description="host memory of a worker for parsed adapters")
    adapter_disk_bytes: PositiveInt = Field(50 << 30, description="disk for downloaded adapters, in the Hub's cache")
    adapter_bytes_per_s: PositiveInt = Field(
        128 << 10, description="minimum average rate at which an adapter must be sent"
    )
    adapter_grace_s: PositiveFloat = Field(30, description="seconds of grace before that rate counts")
    adapter_max_bytes: PositiveInt = Field(4 << 30, description="the largest adapter file that a worker reads")
    adapter_read_s: PositiveFloat = Field(
        30, description="seconds that parsing an adapter file may take, and one more for every 8 MiB of it"
    )
    check_every_swaps: PositiveInt = Field(100, description="swaps between two checks that the base is bit-identical")

    lease_s: PositiveFloat = Field(15, description="seconds of silence after which a worker loses a job")
    housekeeping_s: PositiveFloat = Field(5, description="seconds between two rounds of each loop beside the requests")
    storage_wait_s: NonNegativeFloat = Field(
        120, description="seconds that a job waits for storage, to fetch and to publish"
    )
    stall_s: PositiveFloat = Field(
        60,
        description="seconds without progress after which an attempt ends, and its worker with it; a step may take 20 "
        "times what was measured, and a call to storage `STOKEHOLD_STORAGE_WAIT_S`",
    )
    attempt_s: PositiveFloat = Field(
        1800, description="maximum seconds of an attempt, waiting excluded; or 20 times what was measured, if more"
    )
    max_attempts: PositiveInt = Field(3, description="tries of a job before it fails as `worker_lost`")
    retention_s: PositiveInt = Field(7 * 86_400, description="seconds that a finished job's record is kept")
    webhook_secret: SecretStr | None = Field(
        None,
        description="signs webhooks of a service without API keys: `whsec_` and 24 to 64 random bytes in base64; "
        "without it, none are sent",
    )
    webhook_allow_http: bool = Field(False, description="also send webhooks over plain http")
    webhook_allow_loopback: bool = Field(False, description="also send webhooks to this machine, for tests")

    api_listen: str = Field(
        "127.0.0.1:8000", pattern=r"^.+:\d+$", description="where the API listens; beyond loopback only with an API key"
    )
    api_root_path: str = Field(
        "", pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="path under which a proxy serves the API, such as `/draw`"
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="hosts, separated by `,`, that a service without API keys answers to besides loopback"
    )
    response_wait_s: PositiveFloat = Field(
        60, le=3600, description="seconds that a request for the image itself waits for it"
    )
    requests_per_minute: PositiveInt = Field(
        600, description="requests that an API key may make, unless the key has its own limit"
    )
    queued_jobs: PositiveInt = Field(
        1000, description="queued jobs that an API key may have, unless the key has its own limit"
    )
    pixel_steps_per_day: PositiveInt = Field(
        10**12, description="pixels times steps that an API key may submit, unless the key has its own limit"
    )
    api_keys_required: bool = Field(
        False,
        description="refuse requests without an API key even if none exists",
    )
    held_responses: PositiveInt = Field(
        8, description="requests of an API key that may wait at a time, unless the key has its own limit"
    )
    open_uploads: PositiveInt = Field(
        100, description="uploads that an API key may have open, unless the key has its own limit"
    )
    stored_bytes: PositiveInt = Field(
        100 << 30, description="bytes of adapters and open uploads of an API key, unless the key has its own limit"
    )
    waiting_batches: PositiveInt = Field(
        100, description="batches of an API key that have not ended, unless the key has its own limit"
    )
    api_key: SecretStr | None = Field(None, description="key that `scripts/smoke`, soak and the command line send")
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="lowest level of the log lines that are written"
    )
    log_prompts: bool = Field(False, description="allow prompts in log lines")

    @field_validator("adapter_s3_prefixes", mode="before")
    @classmethod
    def _split_prefixes(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("adapter_s3_prefixes")
    @classmethod
    def _end_with_a_slash(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        if not all(prefix.startswith("s3://") and prefix.endswith("/") for prefix in prefixes):
            raise ValueError("each must begin with s3:// and end with /")
        return prefixes

    @field_validator("trusted_hosts", "adapter_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.lower().split(",")))) if isinstance(value, str) else value

    @field_validator("s3_public_bucket")
    @classmethod
    def _has_a_bucket_of_its_own(cls, value: str | None, others: ValidationInfo) -> str | None:
        if (value is None) is not (others.data.get("public_base_url") is None):
            raise ValueError("set both this and STOKEHOLD_PUBLIC_BASE_URL, or neither")
        if value is not None and value == others.data.get("s3_bucket"):
            raise ValueError("must differ from STOKEHOLD_S3_BUCKET, which holds private data")
        return value

    @field_validator("valkey_url")
    @classmethod
    def _names_one_server(cls, url: str) -> str:
        if not url.startswith(("redis://", "rediss://")):
            raise ValueError("must begin with redis:// or rediss://: one server, no Unix socket, Sentinel or cluster")
        return url

    @field_validator("adapter_folders", mode="before")
    @classmethod
    def _split_folders(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(":") if part)
        return value


def describe(error: ValidationError) -> str:
    """One line for each wrong setting: its name in the environment, its value and what is expected."""
    return "\n".join(
        redact(f"{PREFIX}{'.'.join(map(str, problem['loc'])).upper()}={problem['input']!r}: {problem['msg']}")
        for problem in error.errors(include_url=False)
    )


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises:
        SystemExit: a value is wrong; the message says which and what is expected.
    """
    try:
        return Settings()
    except ValidationError as error:
        sys.exit(f"stokehold: wrong settings\n{describe(error)}")
