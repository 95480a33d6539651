"""Put an adapter into the catalogue: one that is on the Hub, or a file that is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from storage import Readable, Storage
from tasks.adapters.catalogue.entry import CatalogueAdapter, Entry, Registration
from tasks.adapters.catalogue.store import Catalogue
from tasks.adapters.file.address import is_address
from tasks.adapters.file.identity import FoundAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.file.safetensors import SafetensorsHeader
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.resolver import AdapterResolver, Requester
from tasks.adapters.lookup.uploaded import (
    CONTENT_TYPE,
    IncomingAdapter,
    incoming_key,
    new_file_key,
    read_header,
    sha256_of,
    uploaded,
)
from tasks.adapters.passport.fit import Verdict
from tasks.errors import AdapterExists, AdapterNotUsable, InvalidRequest, RequestError
from tasks.objects.client_uploads import KEEP_S, ClientUpload, ClientUploads, OpenUpload, new_id, open_upload_key
from tasks.objects.notes import ObjectNotes


@dataclass(frozen=True)
class Registrations:
    """Puts adapters into the catalogue.

    Attributes:
        max_stored: bytes that the files of an owner may have.
        max_bytes: the largest file that is taken.
    """

    catalogue: Catalogue
    folders: AdapterFolders
    resolver: AdapterResolver
    client_uploads: ClientUploads
    object_notes: ObjectNotes
    storage: Storage
    max_stored: Callable[[str | None], int]
    max_bytes: int

    def register(self, registration: Registration, requester: Requester) -> CatalogueAdapter:
        """Make an entry of an adapter on the Hub, or of a file in storage; the same once more gives the same entry.

        Raises:
            AdapterExists: the name is taken.
            InvalidRequest: there is no such adapter or file, it cannot be used here, or the owner has too many.
            ServiceUnavailable: Valkey or the Hub does not answer.
            StorageError: storage is unavailable.
        """
        request_digest = digest(registration.model_dump_json())
        if first := self._made_before(registration.name, request_digest, requester.owner):
            return first
        self._require_free(registration.name)
        if (registration.ref is None) == (registration.upload is None):
            raise InvalidRequest(
                "Set either ref, for an adapter on the Hub, or upload, for a file that you have uploaded.", field="ref"
            )
        if registration.upload is not None:
            return self._register_upload(registration, registration.upload, requester.owner, request_digest)
        return self._add(
            self._judged(registration, self._elsewhere(registration, requester), requester.owner, request_digest)
        )

    def register_file(self, registration: Entry, stream: Readable, owner: str | None) -> CatalogueAdapter:
        """Make an entry of a file that comes in; the same once more gives the same entry.

        Raises:
            AdapterExists: the name is taken.
            AdapterNotUsable: the file is not a complete safetensors file, too large, or fits no base model served here.
            InvalidRequest: the owner has too many.
            StorageError: storage is unavailable.
        """
        if self._own(registration.name, owner) is not None:
            request_digest = digest_of_file(
                registration, sha256_of(stream, registration.name, max_bytes=self.max_bytes)
            )
            if first := self._made_before(registration.name, request_digest, owner):
                return first
        self._require_free(registration.name)
        incoming = IncomingAdapter(stream, registration.name, max_bytes=self.max_bytes)
        with self.object_notes.writing(new_file_key(), KEEP_S) as key:
            self.storage.upload_stream(key, incoming, content_type=CONTENT_TYPE)
            found = uploaded(registration.name, key, incoming.sha256, incoming.header)
            request_digest = digest_of_file(registration, found.commit)
            return self._add(self._judged(registration, found, owner, request_digest, header=incoming.header))

    def begin_upload(self, owner: str | None, *, sha256: str, size_bytes: int) -> ClientUpload:
        """Begin the upload of an adapter's file.

        Raises:
            AdapterNotUsable: the file is larger than any that is taken.
        """
        if size_bytes > self.max_bytes:
            raise AdapterNotUsable(f"The file has {size_bytes} bytes, and this service takes at most {self.max_bytes}.")
        upload_id = new_id()
        upload = OpenUpload(key=incoming_key(upload_id), owner=owner, sha256=sha256, size_bytes=size_bytes)
        return self.client_uploads.begin(upload_id, upload, CONTENT_TYPE)

    def _register_upload(
        self, registration: Entry, upload_id: str, owner: str | None, request_digest: str
    ) -> CatalogueAdapter:
        """Make an entry of a copy of what a client has put into storage, which it cannot replace, and that was read."""
        upload = self.client_uploads.complete(upload_id, owner, max_bytes=self.max_bytes)
        with self.object_notes.writing(new_file_key(), KEEP_S) as key:
            copied = self.client_uploads.own_copy(upload, key)
            header = read_header(self.storage, key, name=registration.name, size_bytes=copied.bytes)
            found = uploaded(registration.name, key, copied.sha256, header)
            entry = self._add(
                self._judged(registration, found, owner, request_digest, header=header), open_upload_key(upload_id)
            )
        self.client_uploads.remove(upload)
        return entry

    def _require_free(self, name: str) -> None:
        """Refuse a name that is taken, before anything is read.

        Raises:
            AdapterExists: it is.
        """
        if self.catalogue.has(name) or self.folders.has(name):
            raise AdapterExists(f"An adapter named {name!r} already exists. Choose another name.", field="name")

    def _elsewhere(self, registration: Registration, requester: Requester) -> FoundAdapter:
        """The adapter that a registration names, pinned to its present version.

        Raises:
            InvalidRequest: there is none, it is a name, or it is private and would be shared.
            HubUnavailable: the Hub does not answer.
        """
        ref = registration.ref or ""
        try:
            if not is_address(ref) and AdapterReference.parse(ref).is_name:
                raise InvalidRequest("An adapter on the Hub is written owner/name.")
            found = self.resolver.look_up(ref, requester)
            if registration.shared and requester.allow_private:
                self.resolver.look_up(ref, Requester(requester.owner))  # what others could not use must not be shared
        except InvalidRequest as error:
            raise error.at("ref") from error
        return found

    def _judged(
        self,
        registration: Entry,
        found: FoundAdapter,
        owner: str | None,
        request_digest: str,
        *,
        header: SafetensorsHeader | None = None,
    ) -> CatalogueAdapter:
        """The entry of a file that can be used here; it is not in the catalogue yet.

        Args:
            header: of the file, where it has been read.

        Raises:
            AdapterNotUsable: it cannot be used here.
        """
        described = found.model_copy(
            update={
                "base_names": found.base_names if registration.base_model is None else (registration.base_model,),
                "default_scale": registration.default_scale,
                "trigger_words": registration.trigger_words or found.trigger_words,
            }
        )
        passport = self.resolver.judge(described, header=header)
        if passport.verdict is Verdict.REJECTED or passport.base_model is None:
            raise AdapterNotUsable(f"{registration.name} cannot be used with this service. {passport.reason}")
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

    def _add(self, entry: CatalogueAdapter, open_upload: str | None = None) -> CatalogueAdapter:
        """Put an entry into the catalogue; where the same request was faster, its entry is the answer.

        Args:
            open_upload: key of the upload by which its file came.

        Raises:
            AdapterExists: the name is taken.
            InvalidRequest: the owner has too many, or its file is gone or registered already.
        """
        try:
            self.catalogue.add(entry, open_upload, max_bytes=self.max_stored(entry.owner))
        except RequestError:
            if first := self._made_before(entry.name, entry.request_digest, entry.owner):
                return first
            raise
        return entry

    def _made_before(self, name: str, request_digest: str, owner: str | None) -> CatalogueAdapter | None:
        """The entry that the same request has made, if it did."""
        entry = self._own(name, owner)
        return entry if entry is not None and entry.request_digest == request_digest else None

    def _own(self, name: str, owner: str | None) -> CatalogueAdapter | None:
        """The entry of this name, if this owner has made it."""
        entry = self.catalogue.find(name, owner)
        return entry if entry is not None and entry.owner == owner else None


def digest_of_file(registration: Entry, sha256: str) -> str:
    """Return what tells a request that sends a file from others."""
    return digest(f"{sha256} {registration.model_dump_json()}")


def digest(text: str) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
