"""What each application of this process has for itself.

A process has one application as a rule; tests and tools have several, with settings, keys and
databases of their own. What belongs to one of them (its database, its live connections, what it
remembers) is a part of its context, found by its class. So the code that needs a part neither
keeps it in a global nor hands it through every call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")


class Context:
    """``app.py`` makes one and puts in what depends on the settings. Other parts are made with
    their defaults when they are first needed."""

    def __init__(self) -> None:
        self._parts: dict[type, object] = {}

    def __getitem__(self, kind: type[T]) -> T:
        part = self._parts.get(kind)
        if part is None:
            part = self._parts.setdefault(kind, kind())
        return cast("T", part)

    def put(self, part: object) -> None:
        self._parts[type(part)] = part

    def enter(self) -> None:
        """From here on this thread (or greenlet) works for this application."""
        _entered.set(self)


#: The one that was made last is that of every thread which has entered none.
_latest = Context()
_entered: ContextVar[Context | None] = ContextVar("portal", default=None)


def begin() -> Context:
    """A new one, entered."""
    global _latest  # noqa: PLW0603 - what threads fall back to that were started by libraries
    _latest = made = Context()
    made.enter()
    return made


def current() -> Context:
    return _entered.get() or _latest


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """The function for another thread, which works there for the application of this one."""
    here = current()

    def run(*arguments: P.args, **named: P.kwargs) -> T:
        here.enter()
        return function(*arguments, **named)

    return run
