"""A form with a JSON part and a file, read as it comes in: nothing of the file is kept, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from flask import request
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

CHUNK = 64 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_BOUNDARY_CHARACTERS = 70
"""Longest boundary by RFC 2046."""
MAX_UNREAD_BYTES = 2 * CHUNK
"""Most bytes of a preamble, or of the header of a part."""


class FilePart:
    """The content of the file of a form."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._rest = b""
        self._over = False

    def read(self, count: int = -1) -> bytes:
        """Return the next bytes, at least one before the end of the file."""
        while not self._rest and not self._over:
            event = next(self._events, None)
            if not isinstance(event, Data):
                raise BadRequest("The file in the form is incomplete. Send it again.")
            self._rest, self._over = event.data, not event.more_data
        wanted = len(self._rest) if count < 0 else count
        chunk, self._rest = self._rest[:wanted], self._rest[wanted:]
        return chunk


def read_form(field: str, file: str) -> tuple[bytes, FilePart]:
    """Return the field and then the file of the present request.

    Args:
        field: name of the part that comes first.
        file: name of the part with the file.

    Raises:
        BadRequest: the body is not such a form.
    """
    boundary = request.mimetype_params.get("boundary", "")
    if not 0 < len(boundary) <= MAX_BOUNDARY_CHARACTERS:
        raise BadRequest(f"The content type must name a boundary of at most {MAX_BOUNDARY_CHARACTERS} characters.")
    events = read_events(request.stream, boundary.encode("latin-1", "replace"))
    value = read_field(events, field)
    part = next(events, None)
    if not isinstance(part, File) or part.name != file:
        raise BadRequest(f"After {field} the form must have a file part named {file}.")
    return value, FilePart(events)


def read_field(events: Iterator[Event], name: str) -> bytes:
    """Return the content of a short field.

    Raises:
        BadRequest: the next part is another one, or too long.
    """
    part = next(events, None)
    if not isinstance(part, Field) or part.name != name:
        raise BadRequest(f"The first part of the form must be a field named {name}.")
    value = b""
    while isinstance(event := next(events, None), Data):
        value += event.data
        if len(value) > MAX_FIELD_BYTES:
            raise BadRequest(f"The field {name} may have at most {MAX_FIELD_BYTES} bytes.")
        if not event.more_data:
            return value
    raise BadRequest("The form is incomplete. Send it again.")


def read_events(stream: IO[bytes], boundary: bytes) -> Iterator[Event]:
    """Yield the parts of a form and their content, piece by piece.

    Raises:
        BadRequest: it is not a form.
        RequestEntityTooLarge: the text between the parts, or the header of one, is too long.
        ClientDisconnected: the sender has hung up.
    """
    decoder = MultipartDecoder(boundary, MAX_UNREAD_BYTES)
    while True:
        chunk = stream.read(CHUNK)
        try:
            decoder.receive_data(chunk or None)
            while not isinstance(event := decoder.next_event(), NeedData):
                if isinstance(event, Field | File | Data):
                    yield event
                if isinstance(event, Epilogue):
                    return
        except ValueError as error:
            raise BadRequest(f"The body is not a multipart form: {error}.") from None
        except RequestEntityTooLarge:
            raise RequestEntityTooLarge(
                f"The header of each part of the form, and what comes before it, may have {MAX_UNREAD_BYTES} bytes."
            ) from None
        if not chunk:
            raise ClientDisconnected("The form is incomplete. Send it again.")
