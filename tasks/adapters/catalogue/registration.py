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
from tasks.adapters.lookup.resolver import Asker
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
    DirectUpload,
    Promise,
    new_id,
    own_copy,
    promise,
    promise_key,
    promised_upload,
    remove_upload,
)
from tasks.service import Service


def register(service: Service, wanted: Registration, asker: Asker) -> CatalogueAdapter:
    """Make an entry of an adapter on the Hub, or of a file that is in storage; the same once more gives the same entry.

    Raises:
        AdapterExists: the name is taken.
        InvalidRequest: there is no such adapter or file, it cannot be used here, or the owner has too many.
        ServiceUnavailable: Valkey or the Hub does not answer.
        StorageError: storage is away.
    """
    said = digest(wanted.model_dump_json())
    if first := made_before(service, wanted.name, said, asker.owner):
        return first
    require_free(service, wanted.name)
    if (wanted.ref is None) == (wanted.upload is None):
        raise InvalidRequest("Name an adapter on the Hub as ref, or a file that you have sent as upload.", field="ref")
    if wanted.upload is not None:
        return register_upload(service, wanted, wanted.upload, asker.owner, said)
    return add(service, judged(service, wanted, on_the_hub(service, wanted, asker), asker.owner, said))


def register_upload(service: Service, wanted: Entry, upload_id: str, owner: str | None, said: str) -> CatalogueAdapter:
    """Make an entry of what a client has put into storage: of a copy that it cannot replace, and that we have read.

    Raises:
        AdapterExists, InvalidRequest, ServiceUnavailable, StorageError: as ``register`` does.
    """
    promised = promised_upload(service, upload_id, owner, most_bytes=service.settings.adapter_max_bytes)
    with service.object_notes.writing(new_file_key(), KEEP_S) as key:
        copied = own_copy(service.storage, promised, key)
        found = uploaded(wanted.name, key, copied.sha256, copied.bytes)
        entry = add(service, judged(service, wanted, found, owner, said), promise_key(upload_id))
    remove_upload(service.storage, promised)
    return entry


def register_file(service: Service, wanted: Entry, stream: Readable, owner: str | None) -> CatalogueAdapter:
    """Make an entry of a file that comes in; the same once more gives the same entry.

    Raises:
        AdapterExists: the name is taken.
        AdapterNotUsable: the file is no whole safetensors file, too large, or made for no base model served here.
        InvalidRequest: the owner has too many.
        StorageError: storage is away.
    """
    most = service.settings.adapter_max_bytes
    if is_own(service.catalogue.find(wanted.name, owner), owner):
        said = said_of_file(wanted, sha256_of(stream, wanted.name, max_bytes=most))
        if first := made_before(service, wanted.name, said, owner):
            return first
    require_free(service, wanted.name)
    with service.object_notes.writing(new_file_key(), KEEP_S) as key:
        found = receive(service.storage, stream, wanted.name, key, max_bytes=most)
        return add(service, judged(service, wanted, found, owner, said_of_file(wanted, found.commit)))


def begin_upload(service: Service, owner: str | None, *, sha256: str, size_bytes: int) -> DirectUpload:
    """Promise a place in storage for an adapter's file.

    Raises:
        AdapterNotUsable: the file is larger than any that is taken.
    """
    most = service.settings.adapter_max_bytes
    if size_bytes > most:
        raise AdapterNotUsable(f"The file has {size_bytes} bytes, and this service takes at most {most}.")
    upload_id = new_id()
    promised = Promise(key=incoming_key(upload_id), owner=owner, sha256=sha256, size_bytes=size_bytes)
    return promise(service, upload_id, promised, CONTENT_TYPE)


def require_free(service: Service, name: str) -> None:
    """Refuse a name that is taken, before anything is read.

    Raises:
        AdapterExists: it is.
    """
    if service.catalogue.has(name) or service.adapter_folders.find(name) is not None:
        raise AdapterExists(f"There is an adapter {name!r} already. Choose another name.", field="name")


def on_the_hub(service: Service, wanted: Registration, asker: Asker) -> FoundAdapter:
    """The adapter that a registration names, pinned to a commit.

    Raises:
        InvalidRequest: there is none, it is no reference to the Hub, or it is private and would be shared.
        HubUnavailable: the Hub does not answer.
    """
    ref = wanted.ref or ""
    try:
        if AdapterReference.parse(ref).is_local:
            raise InvalidRequest("An adapter on the Hub is written owner/name.")
        found = service.resolver.look_up(ref, asker)
        if wanted.shared and asker.allow_private:
            service.resolver.look_up(ref, Asker(asker.owner))  # what others could not use must not be shared
    except InvalidRequest as error:
        raise type(error)(str(error), field="ref") from error
    return found


def base_names(service: Service, wanted: Entry, found: FoundAdapter) -> tuple[str, ...]:
    """The names of the base model that an adapter was made for: by its entry, else by its card, else by its file.

    Raises:
        AdapterNotUsable: the file is no whole safetensors file.
    """
    if wanted.base_model is not None:
        return (wanted.base_model,)
    if found.source is AdapterSource.UPLOAD:
        return named_base_models(UploadedAdapters(service.storage).read_header(found).metadata)
    return found.base_names


def judged(service: Service, wanted: Entry, found: FoundAdapter, owner: str | None, said: str) -> CatalogueAdapter:
    """The entry of a file that can be used here; it is not in the catalogue yet.

    Raises:
        AdapterNotUsable: it cannot be used here.
    """
    described = replace(
        found,
        base_names=base_names(service, wanted, found),
        default_scale=wanted.default_scale,
        trigger_words=wanted.trigger_words or found.trigger_words,
    )
    passport = service.resolver.judge(described)
    if passport.verdict is Verdict.REJECTED or passport.base_model is None:
        raise AdapterNotUsable(f"{wanted.name} cannot be used here. {passport.reason}")
    return CatalogueAdapter(
        **wanted.model_dump(include=set(Entry.model_fields), exclude={"trigger_words"}),
        trigger_words=passport.trigger_words,
        id=new_id(),
        said=said,
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
        service.catalogue.add(entry, promise, most_bytes=service.quotas.most_stored(entry.owner))
    except RequestError:
        if first := made_before(service, entry.name, entry.said, entry.owner):
            return first
        raise
    return entry


def made_before(service: Service, name: str, said: str, owner: str | None) -> CatalogueAdapter | None:
    """The entry that the same request has made, if it did."""
    entry = service.catalogue.find(name, owner)
    return entry if is_own(entry, owner) and entry is not None and entry.said == said else None


def is_own(entry: CatalogueAdapter | None, owner: str | None) -> bool:
    """Whether there is an entry, and this owner has made it."""
    return entry is not None and entry.owner == owner


def said_of_file(wanted: Entry, sha256: str) -> str:
    """What tells a request that sends a file from others."""
    return digest(f"{sha256} {wanted.model_dump_json()}")


def digest(text: str) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
