"""Downloads from addresses for tests that must not need any."""

from __future__ import annotations

from tests.support.no_storage import NO_CHECKSUMS, NO_FILES
from workers.adapters.addressed import AddressedDownloads

NO_DOWNLOADS = AddressedDownloads(NO_FILES, NO_CHECKSUMS)
"""No address is allowed."""
