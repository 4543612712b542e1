"""The parts that each application of this process has for itself.

A process usually has one application; tests and tools have several, with settings, keys and
databases of their own. Everything that belongs to one of them (its database, its live connections,
its caches) is a part of its context and is found by its class. So the code that needs a part
neither keeps it in a global nor passes it through every call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar, cast

T = TypeVar("T")
P = ParamSpec("P")


class Context:
    """``app.py`` creates one and adds the parts that depend on the settings. Other parts are
    created with their defaults when they are first needed."""

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
        """Makes this thread (or greenlet) work for this application from now on."""
        _entered.set(self)


#: The newest context. It is used by every thread that has entered none.
_latest = Context()
_entered: ContextVar[Context | None] = ContextVar("portal", default=None)


def begin() -> Context:
    """Creates a context and enters it."""
    global _latest  # noqa: PLW0603 - used by threads that libraries started
    _latest = made = Context()
    made.enter()
    return made


def current() -> Context:
    return _entered.get() or _latest


def in_same_context(function: Callable[P, T]) -> Callable[P, T]:
    """Wraps a function for another thread, which then works for this thread's application."""
    here = current()

    def run(*arguments: P.args, **named: P.kwargs) -> T:
        here.enter()
        return function(*arguments, **named)

    return run
