"""Put an adapter into the catalogue: one that is on the Hub, or a file that is sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from storage import Readable
from tasks.adapter_description import named_base_models
from tasks.adapter_reference import AdapterReference
from tasks.adapter_resolver import Asker
from tasks.adapter_uploads import CONTENT_TYPE, UploadedAdapters, receive, upload_key, uploaded
from tasks.adapters import AdapterSource
from tasks.catalogue_entry import CatalogueAdapter, Entry, Registration
from tasks.direct_uploads import DirectUpload, Promise, new_id, promise, promised_upload, take
from tasks.errors import AdapterExists, AdapterNotUsable, InvalidRequest, StokeholdError
from tasks.fit import Verdict
from tasks.found_adapter import FoundAdapter
from tasks.service import Service


def register(service: Service, wanted: Registration, asker: Asker) -> CatalogueAdapter:
    """Make an entry of an adapter on the Hub, or of a file that is in storage.

    Raises:
        AdapterExists: the name is taken.
        InvalidRequest: there is no such adapter or file, it cannot be used here, or the owner has too many.
        ServiceUnavailable: Valkey or the Hub does not answer.
        StorageError: storage is away.
    """
    require_free(service, wanted.name)
    if (wanted.ref is None) == (wanted.upload is None):
        raise InvalidRequest("Name an adapter on the Hub as ref, or a file that you have sent as upload.", field="ref")
    if wanted.ref is not None:
        return add(service, wanted, on_the_hub(service, wanted, asker), asker.owner)
    promised = promised_upload(service, wanted.upload or "", asker.owner, most_bytes=service.settings.adapter_max_bytes)
    found = uploaded(wanted.name, promised.key, promised.sha256 or "", promised.size_bytes or 0)
    entry = add(service, wanted, found, asker.owner)
    take(service, promised)
    return entry


def register_file(service: Service, wanted: Entry, stream: Readable, owner: str | None) -> CatalogueAdapter:
    """Make an entry of a file that comes in. What cannot be used leaves nothing behind.

    Raises:
        AdapterExists: the name is taken.
        AdapterNotUsable: the file is no whole safetensors file, too large, or made for no base model served here.
        InvalidRequest: the owner has too many.
        StorageError: storage is away.
    """
    require_free(service, wanted.name)
    key, most = upload_key(new_id()), service.settings.adapter_max_bytes
    found = receive(service.storage, stream, wanted.name, key, max_bytes=most)
    try:
        return add(service, wanted, found, owner)
    except StokeholdError:
        service.storage.delete(found.weight_name)
        raise


def begin_upload(service: Service, owner: str | None, *, sha256: str, size_bytes: int) -> DirectUpload:
    """Promise a place in storage for an adapter's file.

    Raises:
        AdapterNotUsable: the file is larger than any that is taken.
    """
    most = service.settings.adapter_max_bytes
    if size_bytes > most:
        raise AdapterNotUsable(f"The file has {size_bytes} bytes, and this service takes at most {most}.")
    upload_id = new_id()
    promised = Promise(key=upload_key(upload_id), owner=owner, sha256=sha256, size_bytes=size_bytes)
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


def add(service: Service, wanted: Entry, found: FoundAdapter, owner: str | None) -> CatalogueAdapter:
    """Judge a file and make the entry.

    Raises:
        AdapterExists: the name is taken.
        AdapterNotUsable: it cannot be used here.
        InvalidRequest: the owner has too many.
    """
    said = replace(
        found,
        base_names=base_names(service, wanted, found),
        default_scale=wanted.default_scale,
        trigger_words=wanted.trigger_words or found.trigger_words,
    )
    passport = service.resolver.judge(said)
    if passport.verdict is Verdict.REJECTED or passport.base_model is None:
        raise AdapterNotUsable(f"{wanted.name} cannot be used here. {passport.reason}")
    entry = CatalogueAdapter(
        **wanted.model_dump(include=set(Entry.model_fields), exclude={"trigger_words"}),
        trigger_words=passport.trigger_words,
        owner=owner,
        created_at=datetime.now(UTC),
        slug=passport.base_model,
        found=said,
        passport=passport,
    )
    service.catalogue.add(entry)
    return entry
