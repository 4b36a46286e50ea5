"""One call at a time: a cell may call while a beat is answered on another thread of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

Owner = TypeVar("Owner")
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def one_at_a_time(
    method: Callable[Concatenate[Owner, Arguments], Returned],
) -> Callable[Concatenate[Owner, Arguments], Returned]:
    """Hold the ``_lock`` of the object whose method this is, while it runs."""

    @wraps(method)
    def locked(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        lock: Any = self._lock  # type: ignore[attr-defined]
        with lock:
            return method(self, *args, **kwargs)

    return locked
