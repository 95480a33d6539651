"""Translation of the exceptions of botocore, boto3 and s3transfer into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from storage.config import S3Config
from storage.errors import StorageError, StorageMisconfigured, StorageNotReachable
from storage.refusals import refusal_of

TRANSFER_ERRORS = (Boto3Error, RetriesExceededError, S3DownloadFailedError)
"""Errors of a transfer in parts that was cut off more often than it is tried again."""


@contextmanager
def translated(config: S3Config, bucket: str) -> Iterator[None]:
    """Raise the exceptions of the client's libraries as ours.

    Args:
        bucket: name for the messages.

    Raises:
        ObjectNotFound: the key is unknown.
        StorageMisconfigured: bucket, credentials or region are wrong; the message names the setting.
        StorageNotReachable: nothing answers, or the server cannot serve us for the moment.
        StorageError: the service refuses the request for another reason.
    """
    try:
        yield
    except ClientError as error:
        answer = error.response
        code, status = answer["Error"].get("Code", ""), answer["ResponseMetadata"]["HTTPStatusCode"]
        raise refusal(code, status, config, bucket, str(error)) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StorageMisconfigured(
            f"No credentials for {config.where}: {error}. Set STOKEHOLD_S3_ACCESS_KEY and STOKEHOLD_S3_SECRET_KEY."
        ) from error
    except ParamValidationError as error:
        raise StorageError(f"S3 cannot take this request: {error}") from error
    except (BotoCoreError, *TRANSFER_ERRORS) as error:
        raise StorageNotReachable(
            f"{config.where} does not answer ({error}). Start it, or set STOKEHOLD_S3_ENDPOINT."
        ) from error


def refusal(code: str, status: int | None, config: S3Config, bucket: str, detail: str) -> StorageError:
    """Return our error for the code and the HTTP status of a response.

    Args:
        status: None for one of many objects that one request named.
        detail: the text of the response.
    """
    kind, message = refusal_of(code, status)
    return kind(
        message.format(
            where=config.where,
            bucket=bucket,
            region=config.region,
            access_key=config.access_key,
            code=code if kind is not StorageError else detail,
        )
    )
