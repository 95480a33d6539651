"""Adapters that clients upload, each with a file of its own."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from stack.broken_adapters import FITTING, safetensors

BOUNDARY = "the-next-part"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def adapter_file(number: int) -> bytes:
    """Return an adapter that fits the demo's base and changes it a little; each number has another."""
    return safetensors(FITTING, struct.pack("<f", 1e-3 + 1e-6 * number))


def entry_of(name: str) -> Mapping[str, str]:
    """Return the entry of an adapter, without its file."""
    return {"name": name, "base_model": "demo"}


def form(name: str, content: bytes) -> bytes:
    """An adapter's entry and its file, as a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="entry"\r\n\r\n{json.dumps(entry_of(name))}\r\n'
    head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="adapter.safetensors"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
