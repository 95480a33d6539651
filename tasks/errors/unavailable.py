"""Errors of the moment: the same request may succeed later. Clients read the title, the log has the message."""

from __future__ import annotations

from tasks.errors.root import StokeholdError


class ServiceUnavailable(StokeholdError):
    """A server that we depend on does not answer, or all room is taken; the same request may succeed later."""

    code = "unavailable"
    title = "The service is temporarily unavailable"
    http_status = 503


class ValkeyUnavailable(ServiceUnavailable):
    """Valkey/Redis does not answer."""

    code = "job_store_unavailable"
    title = "The job store is temporarily unavailable"


class HubUnavailable(ServiceUnavailable):
    """The model hub does not answer."""

    code = "hub_unavailable"
    title = "The model hub is temporarily unavailable"


class LoopOverdue(ServiceUnavailable):
    """A loop that brings jobs back, plans batches or delivers webhooks has finished no round for too long."""

    code = "loop_overdue"
    title = "A loop beside the requests is overdue"


class RecordNotUnderstood(ServiceUnavailable):
    """A record was written by a newer version, as happens while a service is updated; another process may read it."""

    code = "record_not_understood"
    title = "The record was written by a newer version"


class ServerSilent(ServiceUnavailable):
    """A server does not answer our own client."""

    code = "server_silent"
    title = "A server does not answer"


class SourceUnavailable(ServiceUnavailable):
    """The server of an adapter's file does not answer."""

    code = "source_unavailable"
    title = "The server of the adapter's file is temporarily unavailable"


class StorageUnavailable(ServiceUnavailable):
    """The S3-compatible storage does not answer."""

    code = "storage_unavailable"
    title = "The storage is temporarily unavailable"


class TooManyTransfers(ServiceUnavailable):
    """As many files come in, or go out, as this process can carry at once."""

    code = "too_many_transfers"
    title = "Too many file transfers at once"


class TooManyWaiting(ServiceUnavailable):
    """As many requests wait for their images as this process can hold; no job was submitted."""

    code = "too_many_waiting"
    title = "Too many requests are waiting for their images"
