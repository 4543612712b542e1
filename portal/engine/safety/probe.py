"""A marker file of a random name shows whether both ends are one place, whatever they are called.

No name, address or account can tell that two servers lead to one disk. So a file is written at the
destination and looked for in the source, there and where the destination may lie below it; and the
other way round where the source is written to anyway.

A server that remembers what lay in a folder does not see a file that came past it. So both sides
write one name with different contents, and each reads back its own: what a server has written
itself it does know, and of one file in one place only one content is left.

A pool shows several disks as one folder, and may write to another disk than the one that is the
other end: each side would read back its own. So each also writes a name that the other does not.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portal.engine.answers.questions import Item, NoAnswer, Questions, together, try_to_ask
from portal.engine.markers import PREFIX
from portal.engine.safety.ends import End, LocalFolder, RemoteFolder, digest_of
from portal.engine.safety.marker_journal import Journal

NOT_WRITTEN = (
    "One end looks just like a folder in the other and may be that folder under another name; and "
    "since it cannot be written to, the opposite cannot be proven. Nothing was done. Choose two "
    "folders of which neither holds the other."
)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """``one_place``: proof that the ends are one place, or that one contains the other.
    ``unproven``: a sentence why the opposite could not be proven either."""

    one_place: bool = False
    unproven: str = ""


class Probe:
    """``cross``: the source may be written to as well. ``exact``: only the very same place counts,
    since the source is a single file in it. ``new``: the destination is still to be made in the
    folder that is given, which may well hold the source. Call ``remove()`` whatever happens."""

    def __init__(
        self,
        source: End,
        destination: End,
        *,
        cross: bool,
        exact: bool,
        new: bool,
        journal: Journal,
        must_cross: bool = False,
    ) -> None:
        """``must_cross``: what is seen of one side alone proves nothing."""
        self._must_cross = must_cross
        self._source, self._destination = source, destination
        self._cross, self._exact, self._new = cross, exact, new
        self._journal = journal
        self.number = secrets.token_hex(8)
        self.name = f"{PREFIX}{self.number}"
        self._of_source, self._of_destination = f"{self.name}-source", f"{self.name}-destination"
        self._written: list[tuple[End, str]] = []
        self._contents = secrets.token_hex(16).encode(), secrets.token_hex(16).encode()

    def run(self) -> ProbeResult:
        """Raises NoAnswer where the destination cannot be written to, or the source read."""
        self._write(self._destination, self.name, self._contents[0])
        in_source = self._cross and self._written_in_source()
        if in_source:
            self._write_each_its_own()
        questions: list[Callable[[], bool]] = [
            lambda: self._is_other(self._destination, self._contents[0])
        ]
        if in_source:
            questions += [
                lambda: self._is_other(self._source, self._contents[1]),
                lambda: self._source.find(self._of_destination) is not None,
                lambda: self._destination.find(self._of_source) is not None,
            ]
        else:
            questions.append(lambda: self._source.find(self.name) is not None)
        if not self._exact:
            questions += self._below(self._source, self._destination)
            if in_source and not self._new:
                questions += self._below(self._destination, self._source)
        if any(together(questions)):
            return ProbeResult(one_place=True)
        if self._must_cross and not in_source:
            return ProbeResult(unproven=NOT_WRITTEN)
        if in_source or self._exact or self._new:
            return ProbeResult()
        return self._source_below()

    def ignores_case(self) -> bool:
        """Whether the destination takes names that differ in case for one; after ``run()``."""
        other = f"{PREFIX.upper()}{self.number}"
        found = try_to_ask(lambda: self._destination.find(other))
        return isinstance(found, Item)

    def is_own_on_disk(self) -> bool:
        """Both ends were written to, and one of them, a folder of this machine, has kept it."""
        both = [(self._destination, self._contents[0]), (self._source, self._contents[1])]
        local = [(end, content) for end, content in both if isinstance(end, LocalFolder)]
        if not local or any((end, self.name) not in self._written for end, _ in both):
            return False
        return not any(self._is_other(end, content) for end, content in local)

    def remove(self) -> list[str]:
        """Removes the markers; returns the places where one had to be left behind."""
        written, self._written = self._written, []
        removals = [_attempt_removal(end, name) for end, name in written]
        for (end, name), gone in zip(written, together(removals), strict=True):
            if gone:
                self._journal.removed(end.text, name)
            else:
                self._journal.noted(end.text, name, given_up=True)
                self._written.append((end, name))
        return list(dict.fromkeys(end.text for end, _ in self._written))

    def remove_by(self, questions: Questions) -> list[str]:
        """As ``remove``, but by another rclone than the one that wrote the markers."""
        self._written = [
            (RemoteFolder(questions, end.text) if isinstance(end, RemoteFolder) else end, name)
            for end, name in self._written
        ]
        return self.remove()

    def _write(self, end: End, name: str, content: bytes) -> None:
        # Noted before: what is begun and cut off may be there all the same.
        self._journal.noted(end.text, name)
        self._written.append((end, name))
        end.write(name, content)

    def _written_in_source(self) -> bool:
        try:
            self._write(self._source, self.name, self._contents[1])
        except NoAnswer:
            return False
        return True

    def _write_each_its_own(self) -> None:
        """A name that the other end has not."""
        into_destination, into_source = self._contents
        together(
            [
                lambda: self._write(self._source, self._of_source, into_source),
                lambda: self._write(self._destination, self._of_destination, into_destination),
            ]
        )

    def _is_other(self, end: End, content: bytes) -> bool:
        return end.digest(self.name) != digest_of(content)

    def _below(self, outer: End, inner: End) -> list[Callable[[], bool]]:
        """Whether the marker of ``inner`` is seen in ``outer`` where it would lie below it."""
        return [_seen(outer.below(tail), self.name) for tail in inner.tails()]

    def _source_below(self) -> ProbeResult:
        """Nothing was written to the source: is it inside the destination? It can only be if the
        destination has a folder of its name."""
        alike = [
            self._destination.below(tail)
            for tail in self._source.tails()
            if has_folder(self._destination, tail)
        ]
        if not alike:
            return ProbeResult()
        if self._written_in_source():
            seen = together([_seen(one, self.name) for one in alike])
            return ProbeResult(one_place=any(seen))
        own = self._source.names()
        if own is None or any(_is_alike(own, one) for one in alike):
            return ProbeResult(unproven=NOT_WRITTEN)
        return ProbeResult()


def _attempt_removal(end: End, name: str) -> Callable[[], bool]:
    def attempt() -> bool:
        for _ in range(2):
            with suppress(NoAnswer):
                end.remove(name)
                return True
        return False

    return attempt


def _seen(end: End, name: str) -> Callable[[], bool]:
    # A place that is not there answers as it likes.
    return lambda: isinstance(try_to_ask(lambda: end.find(name)), Item)


def has_folder(end: End, tail: str) -> bool:
    """Whether the end lists a folder of this path. One that does not answer lists none."""
    parent, _, name = tail.rpartition("/")
    inside = end.below(parent) if parent else end
    if isinstance(inside, LocalFolder):
        return Path(inside.below(name).text).is_dir()
    assert isinstance(inside, RemoteFolder)  # noqa: S101 - narrows the type
    questions, text = inside.questions, inside.text
    found = try_to_ask(lambda: questions.find(text, name, folders=True))
    return isinstance(found, Item)


def _is_alike(own: dict[str, int], other: End) -> bool:
    """Whether nothing tells them apart: each of the first entries of one is also in the other."""
    for name, size in own.items():
        found = try_to_ask(lambda name=name: other.find(name))  # type: ignore[misc]
        if isinstance(found, Item) and (size < 0 or found.size == size):
            continue
        if size < 0:
            continue  # a folder, which is not looked for as a file
        return False
    return True
