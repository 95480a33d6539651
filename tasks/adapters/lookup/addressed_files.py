"""Files at addresses, as far as the settings let them be read: on the web, and in storage that the operator names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from pydantic import SecretStr

from storage import Storage
from tasks.adapters.file.address import S3, FileAddress
from tasks.errors import (
    AdapterNotFound,
    AdapterNotUsable,
    AddressRefused,
    ConfigurationError,
    DeliveryFailed,
    InvalidRequest,
    SourceUnavailable,
)
from tasks.objects.storage_config import make_storage
from tasks.outbound.file_source import Answer, FileSources
from tasks.outbound.safe_http import TOTAL_S
from tasks.settings import Settings

GONE = frozenset({404, 410})
OF_THE_MOMENT = frozenset({408, 425, 429})
OK, PARTIAL, SERVER_ERROR = 200, 206, 500

SignedUrl = Callable[[str, str], str]
"""The URL under which a key of a bucket can be read."""


@dataclass(frozen=True)
class AddressedFiles:
    """The files at addresses.

    Attributes:
        web: the servers of ``https`` addresses.
        s3_prefixes: what an ``s3`` address must begin with, one of them.
        signed_url: of a bucket and a key.
    """

    web: FileSources
    s3_prefixes: Sequence[str]
    signed_url: SignedUrl

    def check(self, address: FileAddress) -> None:
        """Check an address before anything is asked.

        Raises:
            InvalidRequest: nothing is read from there; the message says why.
        """
        if not address.is_s3:
            self.web.check(address.url)
        elif not address.url.startswith(tuple(self.s3_prefixes)):
            raise InvalidRequest("This service takes no adapters from there. Ask its operator to allow it.")

    @contextmanager
    def opened(
        self, address: FileAddress, *, first_bytes: int | None = None, total_s: float = TOTAL_S
    ) -> Iterator[Answer]:
        """Ask for a file, or for its first bytes.

        Raises:
            AdapterNotFound: there is none.
            AdapterNotUsable: its server refuses it.
            InvalidRequest: nothing is read from there.
            SourceUnavailable: its server does not answer.
        """
        self.check(address)
        url = self.signed_url(*address.url.removeprefix(S3).split("/", 1)) if address.is_s3 else address.url
        try:
            with self.web.opened(url, first_bytes=first_bytes, is_ours=address.is_s3, total_s=total_s) as answer:
                require_success(answer.status)
                yield answer
        except AddressRefused as error:
            raise AdapterNotUsable(f"The address of the adapter cannot be used: {error}") from error
        except DeliveryFailed as error:
            raise SourceUnavailable(f"The file at {address.url} cannot be read: {error}.") from error


def require_success(status: int) -> None:
    """Check the status of an answer.

    Raises:
        AdapterNotFound, AdapterNotUsable, SourceUnavailable: it is not the file.
    """
    if status in GONE:
        raise AdapterNotFound("There is no file at the address of the adapter. Check the spelling.")
    if status in OF_THE_MOMENT or status >= SERVER_ERROR:
        raise SourceUnavailable(f"The server of an adapter's file answers {status}.")
    if status not in (OK, PARTIAL):
        raise AdapterNotUsable(
            f"The server of the adapter's file refuses it (status {status}). Use one that everybody may read, or ask "
            "the operator of this service to set a token for that server."
        )


def make_addressed_files(settings: Settings) -> AddressedFiles:
    """The files at addresses, as the settings allow them.

    Raises:
        ConfigurationError: a token names no host.
    """

    @cache
    def storage_of(bucket: str) -> Storage:
        private = dict.fromkeys(("s3_public_bucket", "public_base_url", "s3_public_endpoint"))
        return make_storage(settings.model_copy(update={"s3_bucket": bucket, **private}))

    web = FileSources(
        settings.adapter_hosts,
        tokens_of(settings.adapter_tokens),
        allow_loopback=settings.adapter_allow_loopback,
    )
    return AddressedFiles(web, settings.adapter_s3_prefixes, lambda bucket, key: storage_of(bucket).url(key))


def tokens_of(setting: SecretStr | None) -> dict[str, SecretStr]:
    """The tokens of hosts.

    Raises:
        ConfigurationError: one names no host.
    """
    pairs = [pair.strip().partition("=") for pair in (setting.get_secret_value() if setting else "").split(",")]
    if not all(host and token for host, _, token in pairs if host or token):
        raise ConfigurationError("STOKEHOLD_ADAPTER_TOKENS must be host=token, separated by commas.")
    return {host.lower(): SecretStr(token) for host, _, token in pairs if host}
