"""The meaning of the codes with which a service refuses a request: of the moment, of the machine, or of the request.
(S3 API reference, "Error responses"; other services use the same codes, and further ones.)

A refusal is of the moment if it passes with time, or is mended elsewhere: a server fails or is overloaded, a request
was damaged or cut off on its way, credentials are renewed, clocks are set. It is of the machine if this process will
meet it again until its settings, its bucket or the bucket's policy are changed.
"""

from __future__ import annotations

from http import HTTPStatus

from storage.errors import BucketMissing, ObjectNotFound, StorageError, StorageMisconfigured, StorageNotReachable

Refusal = tuple[type[StorageError], str]
"""Our error, and its message, with {where}, {bucket}, {region}, {access_key} and {code}."""

OVERLOADED: Refusal = (StorageNotReachable, "{where} cannot keep up ({code}). Try again later.")
FAILING: Refusal = (StorageNotReachable, "{where} fails for the moment ({code}). Try again later.")
DAMAGED: Refusal = (StorageNotReachable, "What reached {where} was not what was sent ({code}). Try again.")
CUT_OFF: Refusal = (StorageNotReachable, "{where} has given up an upload in parts ({code}). Try again.")
EXPIRED: Refusal = (StorageNotReachable, "The credentials for {where} have expired ({code}). Renew them.")
SKEWED: Refusal = (StorageNotReachable, "The clocks of {where} and of this machine differ ({code}). Set them right.")
FORBIDDEN: Refusal = (
    StorageMisconfigured,
    "The access key {access_key!r} may not use the bucket {bucket!r} of {where} ({code}). Set STOKEHOLD_S3_ACCESS_KEY "
    "or STOKEHOLD_S3_BUCKET, or change the bucket's policy.",
)
ELSEWHERE: Refusal = (
    StorageMisconfigured,
    "{where} keeps the bucket {bucket!r} in another region than {region!r} ({code}). Set STOKEHOLD_S3_REGION.",
)
UNKNOWN_KEY: Refusal = (
    StorageMisconfigured,
    "{where} does not know the access key {access_key!r} ({code}). Set STOKEHOLD_S3_ACCESS_KEY.",
)
WRONG_SECRET: Refusal = (
    StorageMisconfigured,
    "{where} does not accept the secret key of the access key {access_key!r} ({code}). Set STOKEHOLD_S3_SECRET_KEY.",
)
NO_BUCKET: Refusal = (
    BucketMissing,
    "{where} has no bucket {bucket!r}. Create it, set STOKEHOLD_S3_BUCKET or STOKEHOLD_S3_PUBLIC_BUCKET to one that "
    "exists, or set STOKEHOLD_S3_CREATE_BUCKET=true.",
)
NO_OBJECT: Refusal = (ObjectNotFound, "{where} has no such object; it was removed or never stored.")
UNFIT: Refusal = (
    StorageMisconfigured,
    "{where} does not offer what we need of an S3-compatible service ({code}). Set STOKEHOLD_S3_ENDPOINT to one.",
)

REFUSALS: dict[str, Refusal] = {
    "AccessDenied": FORBIDDEN,
    "AccountProblem": FORBIDDEN,
    "AllAccessDisabled": FORBIDDEN,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "BadDigest": DAMAGED,
    "BandwidthLimitExceeded": OVERLOADED,
    "BucketAlreadyExists": FORBIDDEN,
    "ConditionalRequestConflict": FAILING,
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "IllegalLocationConstraintException": ELSEWHERE,
    "IncompleteBody": DAMAGED,
    "InternalError": FAILING,
    "InvalidAccessKeyId": UNKNOWN_KEY,
    "InvalidBucketName": NO_BUCKET,
    "InvalidPart": CUT_OFF,
    "InvalidSecurity": UNKNOWN_KEY,
    "InvalidToken": UNKNOWN_KEY,
    "KMS.DisabledException": FORBIDDEN,
    "MethodNotAllowed": UNFIT,
    "NoSuchBucket": NO_BUCKET,
    "NoSuchKey": NO_OBJECT,
    "NoSuchUpload": CUT_OFF,
    "NotImplemented": UNFIT,
    "NotSignedUp": FORBIDDEN,
    "OperationAborted": FAILING,
    "PermanentRedirect": ELSEWHERE,
    "QuotaExceeded": FAILING,
    "RequestExpired": SKEWED,
    "RequestLimitExceeded": OVERLOADED,
    "RequestTimeTooSkewed": SKEWED,
    "RequestTimeout": OVERLOADED,
    "ServiceUnavailable": OVERLOADED,
    "SignatureDoesNotMatch": WRONG_SECRET,
    "SlowDown": OVERLOADED,
    "Throttling": OVERLOADED,
    "ThrottlingException": OVERLOADED,
    "TokenRefreshRequired": EXPIRED,
    "TooManyRequests": OVERLOADED,
    "XAmzContentSHA256Mismatch": DAMAGED,
}

BY_STATUS: dict[int, Refusal] = {
    HTTPStatus.MOVED_PERMANENTLY: ELSEWHERE,
    HTTPStatus.TEMPORARY_REDIRECT: ELSEWHERE,
    HTTPStatus.UNAUTHORIZED: FORBIDDEN,
    HTTPStatus.FORBIDDEN: FORBIDDEN,
    HTTPStatus.NOT_FOUND: NO_OBJECT,
    HTTPStatus.METHOD_NOT_ALLOWED: UNFIT,
    HTTPStatus.REQUEST_TIMEOUT: OVERLOADED,
    HTTPStatus.CONFLICT: FAILING,
    HTTPStatus.TOO_EARLY: FAILING,
    HTTPStatus.TOO_MANY_REQUESTS: OVERLOADED,
    HTTPStatus.NOT_IMPLEMENTED: UNFIT,
}
"""By status, where there is no code: the response to a HEAD has no body, and a proxy knows no codes."""

OF_THE_REQUEST: Refusal = (StorageError, "{where} refuses the request ({code}).")


def refusal_of(code: str, status: int | None) -> Refusal:
    """Return our error and message for a refusal.

    Args:
        status: HTTP status of the response; None for one of many objects that one request named.
    """
    if found := REFUSALS.get(code):
        return found
    if status is None:
        return OF_THE_REQUEST
    return BY_STATUS.get(status) or (FAILING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else OF_THE_REQUEST)
