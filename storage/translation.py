"""The one place where botocore's exceptions become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from storage.config import S3Config
from storage.errors import BucketMissing, ObjectNotFound, StorageError, StorageMisconfigured, StorageNotReachable

WITHOUT_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)

FORBIDDEN = (
    StorageMisconfigured,
    "The access key {access_key!r} may not use the bucket {bucket!r} of {where}. Set STOKEHOLD_S3_ACCESS_KEY or "
    "STOKEHOLD_S3_BUCKET, or change the bucket's policy.",
)
ELSEWHERE = (
    StorageMisconfigured,
    "{where} keeps the bucket {bucket!r} in another region than {region!r}. Set STOKEHOLD_S3_REGION.",
)
OVERLOADED = (StorageNotReachable, "{where} cannot keep up. Try again later.")

REFUSALS: dict[str, tuple[type[StorageError], str]] = {
    "AccessDenied": FORBIDDEN,
    "AllAccessDisabled": FORBIDDEN,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "BucketAlreadyExists": FORBIDDEN,
    "IllegalLocationConstraintException": ELSEWHERE,
    "InvalidAccessKeyId": (
        StorageMisconfigured,
        "{where} does not know the access key {access_key!r}. Set STOKEHOLD_S3_ACCESS_KEY.",
    ),
    "NoSuchBucket": (
        BucketMissing,
        "{where} has no bucket {bucket!r}. Create it, set STOKEHOLD_S3_BUCKET, or set STOKEHOLD_S3_CREATE_BUCKET=true.",
    ),
    "NoSuchKey": (ObjectNotFound, "{where} has no such object; it was removed or never stored."),
    "PermanentRedirect": ELSEWHERE,
    "RequestTimeTooSkewed": (StorageMisconfigured, "The clocks of {where} and of this machine differ. Set them right."),
    "RequestTimeout": OVERLOADED,
    "SignatureDoesNotMatch": (
        StorageMisconfigured,
        "{where} does not accept the secret key of the access key {access_key!r}. Set STOKEHOLD_S3_SECRET_KEY.",
    ),
    "SlowDown": OVERLOADED,
}
"""What we make of S3's error codes (S3 API reference, "Error responses")."""


@contextmanager
def translated(config: S3Config) -> Iterator[None]:
    """Raise botocore's exceptions as ours.

    Raises:
        ObjectNotFound: the key is unknown.
        StorageMisconfigured: bucket, credentials or region are wrong; the message names the setting.
        StorageNotReachable: nobody answers, or the server fails.
        StorageError: the service refuses the request for another reason.
    """
    try:
        yield
    except ClientError as error:
        raise refusal(error, config) from error
    except WITHOUT_CREDENTIALS as error:
        raise StorageMisconfigured(
            f"No credentials for {config.where}: {error}. Set STOKEHOLD_S3_ACCESS_KEY and STOKEHOLD_S3_SECRET_KEY."
        ) from error
    except ParamValidationError as error:
        raise StorageError(f"S3 cannot take this request: {error}") from error
    except BotoCoreError as error:
        raise StorageNotReachable(
            f"{config.where} does not answer ({error}). Start it, or set STOKEHOLD_S3_ENDPOINT."
        ) from error


def refusal(error: ClientError, config: S3Config) -> StorageError:
    """Our error for a service's answer. An unknown code is temporary if its HTTP status says so."""
    if found := REFUSALS.get(error.response["Error"].get("Code", "")):
        kind, message = found
        return kind(
            message.format(where=config.where, bucket=config.bucket, region=config.region, access_key=config.access_key)
        )
    if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return StorageNotReachable(f"{config.where} fails for the moment: {error}. Try again later.")
    return StorageError(f"{config.where} refuses the request: {error}")
