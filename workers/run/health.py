"""The health of this worker: it tests itself after each fault, and leaves its queue if it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from tasks.errors import SelfTestFailed

logger = logging.getLogger(__name__)


class Health:
    """The result of this worker's self tests. Thread-safe.

    Args:
        test: raises ``SelfTestFailed``.
        reload: lets the base model be loaded again before it draws again.
        leave: takes the worker off its queue and ends it.

    Attributes:
        unhealthy: the reason why it takes no more jobs; None while it takes some.
    """

    def __init__(self, test: Callable[[], None], reload: Callable[[], None], leave: Callable[[], None]) -> None:
        self._test = test
        self._reload = reload
        self._leave = leave
        self._lock = threading.Lock()
        self.unhealthy: str | None = None

    def is_sound(self) -> bool:
        """Test the worker, if necessary again after a reload of the base; if that fails too, it leaves its queue."""
        with self._lock:
            if self.unhealthy is None and not self._passes():
                logger.error("this worker leaves its queue: %s", self.unhealthy)
                self._leave()
            return self.unhealthy is None

    def _passes(self) -> bool:
        failure = self._failure()
        if failure is not None and failure.is_of_base:
            logger.error("the base model is loaded again: %s", failure)
            self._reload()
            failure = self._failure()
        self.unhealthy = None if failure is None else str(failure)
        return failure is None

    def _failure(self) -> SelfTestFailed | None:
        try:
            self._test()
        except SelfTestFailed as error:
            logger.warning("the worker's test of itself failed: %s", error, exc_info=error.__cause__)
            return error
        except Exception:
            logger.exception("the worker's test of itself failed")
            return SelfTestFailed("It cannot test itself.", is_of_base=True)
        return None
