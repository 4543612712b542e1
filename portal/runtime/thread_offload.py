"""Runs slow work (hashing) off the event loop.

A plain function call blocks every socket of the process while it computes. ``manage.py run``
provides a pool of real threads; without it (tests, the command line) the call is made in place.
"""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_execute: Callable[..., Any] | None = None


def use(execute: Callable[..., Any]) -> None:
    """``execute(function, *arguments)`` runs the function elsewhere and waits for its result."""
    global _execute  # noqa: PLW0603 - one process, one pool, chosen once at its start
    _execute = execute


def offload(function: Callable[..., T], *arguments: object) -> T:
    if _execute is None:
        return function(*arguments)
    result: T = _execute(function, *arguments)
    return result
