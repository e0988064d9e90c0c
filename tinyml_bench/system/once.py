"""Values that are computed once, however many threads ask for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any


class Once:
    """Computes each value once, however many threads ask for it at the same time.

    Examples
    --------
    >>> once = Once()
    >>> once.get("answer", lambda: 42), once.get("answer", lambda: 43)
    (42, 42)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[Hashable, Future[Any]] = {}

    def get(self, name: Hashable, compute: Callable[[], Any]) -> Any:
        """Return what `compute` gave for `name`; the first thread computes, the others wait."""
        with self._lock:
            future = self._futures.get(name)
            is_first = future is None
            if future is None:
                future = self._futures[name] = Future()
        if is_first:
            try:
                future.set_result(compute())
            except BaseException as error:  # noqa: BLE001 - handed to every thread that waits
                future.set_exception(error)
        return future.result()
