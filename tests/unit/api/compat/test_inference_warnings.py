"""Warnings in a header: whatever a file's author wrote, the header can be sent, and its client reads it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from api.compat.hub import hub_warnings


@given(st.lists(st.text(max_size=40), max_size=3).map(tuple))
def test_any_warning_can_be_sent(warnings: tuple[str, ...]) -> None:
    sent = list(hub_warnings(warnings))

    assert all(re.fullmatch(r"[ -~]*; [ -~]*", text) for text in sent)
    assert len({text.split(";", 1)[0] for text in sent}) == len(sent) == len(warnings)
