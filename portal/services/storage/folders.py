"""Browsing: the roots and remotes that a person may use, and the folders in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portal.db.session import write
from portal.engine import Entry, Listing, Matching, is_marker
from portal.errors import Invalid, PortalError, TooMany
from portal.models import User
from portal.realtime.cache import TTLCache
from portal.runtime.context import current
from portal.runtime.thread_offload import offload
from portal.services import audit
from portal.services.actor import Actor
from portal.services.storage import connections, remotes, turns
from portal.transfers import locations
from portal.transfers.counted import counted
from portal.transfers.local_paths import PathRefused, Roots
from portal.transfers.locations import Location, split
from portal.transfers.names import is_name
from portal.transfers.options import Options

PAGE_SIZE = 200
_MAX_LOCAL = 100_000
_NAME_LENGTH = 255
_EMPTY = "This folder is empty."
#: An object storage cannot tell an empty folder from one that does not exist.
_MISSING = "Nothing is here yet. A job creates the folder if it does not exist."


class _Listings(TTLCache[Listing]):
    """Keeps the listing of a folder, so that its pages and filters ask the storage once."""

    def __init__(self) -> None:
        super().__init__(30.0, size=4)


@dataclass(frozen=True, slots=True)
class Step:
    """A folder on the way; ``at`` is its address as a form's field holds it."""

    label: str
    at: str


@dataclass(frozen=True, slots=True)
class Folder:
    """One page of a folder.

    ``at`` is empty for the list of places. The folder has ``total`` entries; ``matching`` of them
    contain the text that was looked for, and ``left`` of these come on later pages. ``problem``:
    why it cannot be shown; ``busy``: because there was no turn for it; ``note``: what to know about
    it; ``hidden``: how many more entries have names that no page can show; ``links``: how many
    links there are, which transfers do not follow.
    """

    at: str
    trail: tuple[Step, ...] = ()
    entries: tuple[Entry, ...] = ()
    places: tuple[Step, ...] = ()
    total: int = 0
    matching: int = 0
    left: int = 0
    problem: str = ""
    note: str = ""
    hidden: int = 0
    links: int = 0
    busy: bool = False

    @property
    def summary(self) -> str:
        """Says how much is in the folder, and what of it is not shown."""
        parts = [self.note or counted(self.total, "entry", "entries")]
        if self.hidden:
            more = counted(self.hidden, "more whose name", "more whose names")
            parts.append(f"{more} cannot be shown")
        if self.links:
            parts.append(f"{counted(self.links, 'link')}, which transfers do not follow")
        return "; ".join([parts[0].rstrip("."), *parts[1:]]) if parts[1:] else parts[0]

    def inner(self, name: str) -> str:
        """Returns the address of an entry."""
        return join(self.at, name)


@dataclass(frozen=True, slots=True)
class _Found:
    entries: tuple[Entry, ...]
    note: str = ""
    hidden: int = 0
    links: int = 0


def join(at: str, name: str) -> str:
    return f"{at}{name}" if at.endswith(("/", ":")) else f"{at}/{name}"


def places(roots: Sequence[Path], user: User) -> tuple[Step, ...]:
    """Returns the places where browsing begins."""
    local = [Step(str(root), str(root)) for root in roots]
    far = [
        Step(f"{remote.name}:{remote.start}", f"{remote.name}:{remote.start}")
        for remote in remotes.usable(user)
    ]
    return (*local, *far)


def look(
    at: str,
    *,
    roots: Roots,
    actor: Actor,
    text: str = "",
    number: int = 1,
    again: bool = False,
) -> Folder:
    """Returns one page of the folder ``at``, from page 1. If there is no such place, returns the
    list of places and what is wrong. ``again``: the folder was shown a moment ago, so its storage
    is not asked anew."""
    begin = places(roots, actor.user)
    if not at:
        return Folder("", places=begin)
    try:
        location = locations.locate(at, roots, remotes.names(actor.user))
        found = _found(location, actor, again=again)
    except PathRefused as refused:
        return Folder("", places=begin, problem=refused.reason)
    except PortalError as error:
        busy = isinstance(error, TooMany)
        return Folder(at, trail=steps_to(at, roots), problem=error.message, busy=busy)
    wanted = text.casefold()
    matching = [entry for entry in found.entries if wanted in entry.name.casefold()]
    first = (number - 1) * PAGE_SIZE
    return Folder(
        at=location.text,
        trail=steps_to(location.text, roots),
        entries=tuple(matching[first : first + PAGE_SIZE]),
        total=len(found.entries),
        matching=len(matching),
        left=max(0, len(matching) - first - PAGE_SIZE),
        note=found.note,
        hidden=found.hidden,
        links=found.links,
    )


def matching(source: Location, options: Options, *, actor: Actor) -> Matching:
    """Returns what a transfer from this source would take. ``problem`` says why it could not be
    found out. Raises TooMany."""
    try:
        remote = None if source.remote_id is None else remotes.find_to_ask(source.remote_id)
        return connections.list_matching(remote, split(source.text)[1], options, actor=actor)
    except TooMany:
        raise
    except PortalError as error:
        return Matching(0, 0, (), partial=False, problem=error.message)


def make(at: str, name: str, *, roots: Roots, actor: Actor) -> str:
    """Makes a folder in ``at`` and returns its address. Raises Invalid with the field ``name``, and
    TooMany."""
    name = name.strip()
    if not 1 <= len(name.encode("utf-8", "replace")) <= _NAME_LENGTH or {"/", "\\"} & set(name):
        raise Invalid({"name": f"Enter a name of 1 to {_NAME_LENGTH} bytes, without slashes."})
    if not is_name(name):
        raise Invalid({"name": "Leave out line breaks and control characters."})
    try:
        inside = locations.locate(at, roots, remotes.names(actor.user))
        made = locations.locate(join(inside.text, name), roots, remotes.names(actor.user))
    except PathRefused as refused:
        raise Invalid({"name": refused.reason}) from None
    problem = _make(made, actor)
    current()[_Listings].clear()
    if problem:
        raise Invalid({"name": problem})
    with write() as tx:
        audit.record(tx, "folder.create", actor, target=made.text)
        tx.commit()
    return made.text


def _make(location: Location, actor: Actor) -> str | None:
    if location.remote_id is None:
        with turns.at_folders(actor):
            return offload(_make_local, location.text)
    remote = remotes.find_to_ask(location.remote_id)
    try:
        return connections.make_folder(remote, split(location.text)[1], actor=actor)
    except connections.GivenUp as given_up:
        _record_attempt(location, actor, given_up.message)
        raise
    except TooMany:
        raise
    except PortalError as error:
        return error.message


def _record_attempt(location: Location, actor: Actor, why: str) -> None:
    """The storage may have made the folder all the same."""
    with write() as tx:
        audit.record(tx, "folder.create", actor, target=location.text, detail=why, outcome="failed")
        tx.commit()


def _make_local(path: str) -> str | None:
    try:
        Path(path).mkdir()
    except FileExistsError:
        return "A file or folder with this name already exists."
    except OSError as error:
        return f"It cannot be created: {error.strerror}."
    return None


def _found(location: Location, actor: Actor, *, again: bool) -> _Found:
    """Raises PortalError with a sentence about what is wrong."""
    if location.remote_id is None:
        with turns.at_folders(actor):
            return offload(_scan, location.text)
    remote = remotes.find_to_ask(location.remote_id)
    path = split(location.text)[1]
    key = remote.id, remote.changed_at, path
    if not again:
        current()[_Listings].drop(key)
    listing = current()[_Listings].get(
        key, lambda: connections.list_folder(remote, path, actor=actor)
    )
    if listing.missing:
        return _Found((), _MISSING)
    if listing.problem:
        current()[_Listings].clear()
        raise connections.Unusable(listing.problem)
    # rclone replaces bytes that are not UTF-8 by U+FFFD; such an entry could not be found by this
    # name.
    named = tuple(one for one in listing.entries if is_name(one.name) and "\ufffd" not in one.name)
    hidden = len(listing.entries) - len(named)
    if listing.partial:
        return _Found(named, "There is more than is shown. Enter the path to go further.", hidden)
    return _Found(named, "" if listing.entries else _MISSING, hidden)


def _scan(path: str) -> _Found:
    entries: list[Entry] = []
    hidden = links = 0
    try:
        with os.scandir(path) as found:
            for item in found:
                if len(entries) >= _MAX_LOCAL:
                    break
                if is_marker(item.name):
                    continue
                if item.is_symlink():
                    links += 1
                elif not is_name(item.name):
                    hidden += 1
                elif (entry := _entry(item)) is not None:
                    entries.append(entry)
    except FileNotFoundError:
        return _Found((), _MISSING)
    except NotADirectoryError:
        return _Found((), "This is a file.")
    except OSError as error:
        raise connections.Unusable(f"This folder cannot be read: {error.strerror}.") from None
    entries.sort(key=lambda entry: (not entry.folder, entry.name))
    return _Found(tuple(entries), "" if entries or hidden or links else _EMPTY, hidden, links)


def _entry(item: os.DirEntry[str]) -> Entry | None:
    try:
        folder = item.is_dir(follow_symlinks=False)
        size = None if folder else item.stat(follow_symlinks=False).st_size
        return Entry(item.name, folder, size)
    except OSError:
        return None  # gone meanwhile


def steps_to(at: str, roots: Sequence[Path]) -> tuple[Step, ...]:
    """Returns the steps from the root or remote to the folder itself."""
    name, path = split(at)
    if name is not None:
        steps, here, rest = [Step(f"{name}:", f"{name}:")], f"{name}:", path
        if path.startswith("/"):
            here, rest = f"{name}:/", path.lstrip("/")
    else:
        real = [os.path.realpath(root) for root in roots]
        root = max((one for one in real if Path(at).is_relative_to(one)), key=len, default="/")
        steps, here, rest = [Step(root, root)], root, at.removeprefix(root)
    for part in rest.split("/"):
        if part:
            here = join(here, part)
            steps.append(Step(part, here))
    return tuple(steps)
