"""The model of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus

from stack.history.event import Kind, Phase
from stack.history.operations import Operation, of_kind
from stack.history.violation import Rule, Violation, violation


def check_images(operations: Iterable[Operation]) -> Iterator[Violation]:
    """Images whose bytes are others than recorded, or that are not there."""
    for fetch in of_kind(operations, Kind.FETCH_IMAGE):
        subject = fetch.request.target or ""
        if fetch.status == HTTPStatus.NOT_FOUND:
            yield violation(Rule.IMAGE_AS_RECORDED, subject, "The image is not there.", fetch)
        elif fetch.outcome is Phase.OK and fetch.answer != fetch.request.file:
            what = f"The image is {fetch.answer}, and its record says {fetch.request.file}."
            yield violation(Rule.IMAGE_AS_RECORDED, subject, what, fetch)
