"""Turns at folders and storages, for people who wait for the answer.

Each question to a storage is a process of rclone, and each look into a local folder takes a thread
that passwords need as well. A storage or disk that hangs keeps them; so nobody may have them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from portal.db.session import session
from portal.errors import TooMany
from portal.runtime.context import current
from portal.runtime.fair_turns import FairTurns, Limits, NoTurn
from portal.services.actor import Actor

#: Seconds for which a person waits for a turn.
PATIENCE = 5.0
LIMITS = Limits(total=8, each=2, spare=2, waiting=4)
#: Seconds after which it is worth to ask again.
AGAIN_AFTER = 5
_OWN = "You already have two open. Wait for one to end, or close it."
_ALL = "Too many storages are being read right now. Try again in a moment."


class _Turns:
    """The turns of one application."""

    def __init__(self) -> None:
        self.at_storages = FairTurns(LIMITS)
        # Apart: a disk that hangs keeps nobody from the storages.
        self.at_folders = FairTurns(LIMITS)


@contextmanager
def at_storages(actor: Actor) -> Iterator[None]:
    """Raises TooMany. Ends the transaction of the session; whoever begins another in the turn keeps
    it for as long."""
    with _turn(current()[_Turns].at_storages, actor):
        yield


@contextmanager
def at_folders(actor: Actor) -> Iterator[None]:
    """The same for folders of this machine."""
    with _turn(current()[_Turns].at_folders, actor):
        yield


@contextmanager
def _turn(turns: FairTurns, actor: Actor) -> Iterator[None]:
    person = actor.user.id
    session.rollback()  # nobody may have to wait for this connection to the database meanwhile
    try:
        with turns.turn(person, seconds=PATIENCE, is_gone=actor.is_gone):
            yield
    except NoTurn as none:
        raise TooMany(AGAIN_AFTER, _OWN if none.own else _ALL) from None
