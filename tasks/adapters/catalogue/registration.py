"""Put an adapter into the catalogue: one that is on the Hub, or a file that is sent."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from storage import Readable
from tasks.adapters.catalogue.entry import CatalogueAdapter, Entry, Registration
from tasks.adapters.file.identity import AdapterSource, FoundAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.file.sidecar import named_base_models
from tasks.adapters.lookup.resolver import Requester
from tasks.adapters.lookup.uploaded import (
    CONTENT_TYPE,
    UploadedAdapters,
    incoming_key,
    new_file_key,
    receive,
    sha256_of,
    uploaded,
)
from tasks.adapters.passport.fit import Verdict
from tasks.errors import AdapterExists, AdapterNotUsable, InvalidRequest, RequestError
from tasks.objects.client_uploads import (
    KEEP_S,
    ClientUpload,
    Promise,
    new_id,
    promise_key,
)
from tasks.service import Service


def register(service: Service, registration: Registration, requester: Requester) -> CatalogueAdapter:
    """Make an entry of an adapter on the Hub, or of a file that is in storage; the same once more gives the same entry.

    Raises:
        AdapterExists: the name is taken.
        InvalidRequest: there is no such adapter or file, it cannot be used here, or the owner has too many.
        ServiceUnavailable: Valkey or the Hub does not answer.
        StorageError: storage is away.
    """
    request_digest = digest(registration.model_dump_json())
    if first := made_before(service, registration.name, request_digest, requester.owner):
        return first
    require_free(service, registration.name)
    if (registration.ref is None) == (registration.upload is None):
        raise InvalidRequest("Name an adapter on the Hub as ref, or a file that you have sent as upload.", field="ref")
    if registration.upload is not None:
        return register_upload(service, registration, registration.upload, requester.owner, request_digest)
    return add(
        service,
        judged(service, registration, on_the_hub(service, registration, requester), requester.owner, request_digest),
    )


def register_upload(
    service: Service, registration: Entry, upload_id: str, owner: str | None, request_digest: str
) -> CatalogueAdapter:
    """Make an entry of what a client has put into storage: of a copy that it cannot replace, and that we have read.

    Raises:
        AdapterExists, InvalidRequest, ServiceUnavailable, StorageError: as ``register`` does.
    """
    promised = service.client_uploads.promised(upload_id, owner, max_bytes=service.settings.adapter_max_bytes)
    with service.object_notes.writing(new_file_key(), KEEP_S) as key:
        copied = service.client_uploads.own_copy(promised, key)
        found = uploaded(registration.name, key, copied.sha256, copied.bytes)
        entry = add(service, judged(service, registration, found, owner, request_digest), promise_key(upload_id))
    service.client_uploads.remove(promised)
    return entry


def register_file(service: Service, registration: Entry, stream: Readable, owner: str | None) -> CatalogueAdapter:
    """Make an entry of a file that comes in; the same once more gives the same entry.

    Raises:
        AdapterExists: the name is taken.
        AdapterNotUsable: the file is no whole safetensors file, too large, or made for no base model served here.
        InvalidRequest: the owner has too many.
        StorageError: storage is away.
    """
    most = service.settings.adapter_max_bytes
    if is_own(service.catalogue.find(registration.name, owner), owner):
        request_digest = digest_of_file(registration, sha256_of(stream, registration.name, max_bytes=most))
        if first := made_before(service, registration.name, request_digest, owner):
            return first
    require_free(service, registration.name)
    with service.object_notes.writing(new_file_key(), KEEP_S) as key:
        found = receive(service.storage, stream, registration.name, key, max_bytes=most)
        return add(service, judged(service, registration, found, owner, digest_of_file(registration, found.commit)))


def begin_upload(service: Service, owner: str | None, *, sha256: str, size_bytes: int) -> ClientUpload:
    """Promise a place in storage for an adapter's file.

    Raises:
        AdapterNotUsable: the file is larger than any that is taken.
    """
    most = service.settings.adapter_max_bytes
    if size_bytes > most:
        raise AdapterNotUsable(f"The file has {size_bytes} bytes, and this service takes at most {most}.")
    upload_id = new_id()
    promised = Promise(key=incoming_key(upload_id), owner=owner, sha256=sha256, size_bytes=size_bytes)
    return service.client_uploads.promise(upload_id, promised, CONTENT_TYPE)


def require_free(service: Service, name: str) -> None:
    """Refuse a name that is taken, before anything is read.

    Raises:
        AdapterExists: it is.
    """
    if service.catalogue.has(name) or service.adapter_folders.find(name) is not None:
        raise AdapterExists(f"There is an adapter {name!r} already. Choose another name.", field="name")


def on_the_hub(service: Service, registration: Registration, requester: Requester) -> FoundAdapter:
    """The adapter that a registration names, pinned to a commit.

    Raises:
        InvalidRequest: there is none, it is no reference to the Hub, or it is private and would be shared.
        HubUnavailable: the Hub does not answer.
    """
    ref = registration.ref or ""
    try:
        if AdapterReference.parse(ref).is_name:
            raise InvalidRequest("An adapter on the Hub is written owner/name.")
        found = service.resolver.look_up(ref, requester)
        if registration.shared and requester.allow_private:
            service.resolver.look_up(ref, Requester(requester.owner))  # what others could not use must not be shared
    except InvalidRequest as error:
        raise type(error)(str(error), field="ref") from error
    return found


def base_names(service: Service, registration: Entry, found: FoundAdapter) -> tuple[str, ...]:
    """The names of the base model that an adapter was made for: by its entry, else by its card, else by its file.

    Raises:
        AdapterNotUsable: the file is no whole safetensors file.
    """
    if registration.base_model is not None:
        return (registration.base_model,)
    if found.source is AdapterSource.UPLOAD:
        return named_base_models(UploadedAdapters(service.storage).read_header(found).metadata)
    return found.base_names


def judged(
    service: Service, registration: Entry, found: FoundAdapter, owner: str | None, request_digest: str
) -> CatalogueAdapter:
    """The entry of a file that can be used here; it is not in the catalogue yet.

    Raises:
        AdapterNotUsable: it cannot be used here.
    """
    described = replace(
        found,
        base_names=base_names(service, registration, found),
        default_scale=registration.default_scale,
        trigger_words=registration.trigger_words or found.trigger_words,
    )
    passport = service.resolver.judge(described)
    if passport.verdict is Verdict.REJECTED or passport.base_model is None:
        raise AdapterNotUsable(f"{registration.name} cannot be used here. {passport.reason}")
    return CatalogueAdapter(
        **registration.model_dump(include=set(Entry.model_fields), exclude={"trigger_words"}),
        trigger_words=passport.trigger_words,
        id=new_id(),
        request_digest=request_digest,
        owner=owner,
        created_at=datetime.now(UTC),
        slug=passport.base_model,
        found=described,
        passport=passport,
    )


def add(service: Service, entry: CatalogueAdapter, promise: str | None = None) -> CatalogueAdapter:
    """Put an entry into the catalogue; where the same request was faster, its entry is the answer.

    Args:
        promise: key of the promise of the upload that its file came by.

    Raises:
        AdapterExists: the name is taken.
        InvalidRequest: the owner has too many, or its file is gone or registered already.
    """
    try:
        service.catalogue.add(entry, promise, max_bytes=service.quotas.max_stored(entry.owner))
    except RequestError:
        if first := made_before(service, entry.name, entry.request_digest, entry.owner):
            return first
        raise
    return entry


def made_before(service: Service, name: str, request_digest: str, owner: str | None) -> CatalogueAdapter | None:
    """The entry that the same request has made, if it did."""
    entry = service.catalogue.find(name, owner)
    return entry if is_own(entry, owner) and entry is not None and entry.request_digest == request_digest else None


def is_own(entry: CatalogueAdapter | None, owner: str | None) -> bool:
    """Whether there is an entry, and this owner has made it."""
    return entry is not None and entry.owner == owner


def digest_of_file(registration: Entry, sha256: str) -> str:
    """What tells a request that sends a file from others."""
    return digest(f"{sha256} {registration.model_dump_json()}")


def digest(text: str) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
