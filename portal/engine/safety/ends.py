"""The two ends of an order, and how they are asked: folders of this machine or of a remote."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portal.engine.answers.inquiry import Inquiry
from portal.engine.answers.questions import Item, NoAnswer, Questions, together, try_to_ask
from portal.engine.answers.source_names import MissingSource, SourceNames, first_files
from portal.engine.order import comparison
from portal.engine.order.comparison import Storage
from portal.engine.order.remotes import Remote
from portal.engine.output import samples
from portal.engine.output.samples import Samples
from portal.engine.safety import same_place

_DEEPEST = 6
_LIKENESS = 20
_IS_A_FILE = "is a file not a directory"
_NO_ANSWER = "temporarily unavailable: one question was not answered, and the next one was"


class End(Protocol):
    """One side, as the probe needs it. All but ``below`` may raise NoAnswer."""

    @property
    def text(self) -> str: ...
    def below(self, path: str) -> End: ...
    def tails(self) -> list[str]: ...
    def find(self, name: str) -> Item | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def digest(self, name: str) -> str: ...
    def remove(self, name: str) -> None: ...
    def names(self) -> dict[str, int] | None: ...


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine."""

    text: str

    def below(self, path: str) -> LocalFolder:
        return LocalFolder(f"{self.text.rstrip('/')}/{path}")

    def tails(self) -> list[str]:
        return _tails(self.text)

    def find(self, name: str) -> Item | None:
        try:
            found = Path(self.text, name).lstat()
        except OSError:
            return None
        return Item(name, False, found.st_size)

    def write(self, name: str, content: bytes) -> None:
        try:
            path = Path(self.text, name)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
        except OSError as error:
            raise NoAnswer(f"{error.strerror}".lower()) from error

    def digest(self, name: str) -> str:
        try:
            content = Path(self.text, name).read_bytes()
        except OSError as error:
            raise NoAnswer(f"{error.strerror}".lower()) from error
        return digest_of(content)

    def remove(self, name: str) -> None:
        try:
            Path(self.text, name).unlink(missing_ok=True)
        except OSError as error:
            raise NoAnswer(f"{error.strerror}".lower()) from error

    def names(self) -> dict[str, int] | None:
        found: dict[str, int] = {}
        try:
            with os.scandir(self.text) as entries:
                for entry in entries:
                    found[entry.name] = -1 if entry.is_dir() else entry.stat().st_size
                    if len(found) >= _LIKENESS:
                        break
        except OSError:
            return None
        return found


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of a remote."""

    questions: Questions
    text: str

    def below(self, path: str) -> RemoteFolder:
        slash = "" if self.text.endswith((":", "/")) else "/"
        return RemoteFolder(self.questions, f"{self.text}{slash}{path}")

    def tails(self) -> list[str]:
        return _tails(self.text.partition(":")[2])

    def find(self, name: str) -> Item | None:
        return self.questions.find(self.text, name)

    def write(self, name: str, content: bytes) -> None:
        self.questions.write(self.text, name, content)

    def digest(self, name: str) -> str:
        return self.questions.digest(self.text, name)

    def remove(self, name: str) -> None:
        try:
            self.questions.remove(self.text, name)
        except NoAnswer:
            if self.questions.find(self.text, name) is None:
                return
            # A server may still remember what was removed past it: of that nothing can be read.
            read = try_to_ask(lambda: self.digest(name))
            if not isinstance(read, NoAnswer) and read != digest_of(b""):
                raise

    def names(self) -> dict[str, int] | None:
        try:
            return self.questions.first_names(self.text, _LIKENESS)
        except NoAnswer:
            return None


class Ends:
    """The ends of one order: what they are, and what is asked of them.

    ``start()`` an rclone before a remote is asked, and ``close()`` it; whoever waits for a list in
    another thread is freed by ``stop()``.
    """

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry, self._order = inquiry, inquiry.order
        self._remotes = {remote.name: remote for remote in self._order.remotes}
        self._questions: Questions | None = None
        self._readers: list[SourceNames] = []
        self._stopped = False

    def start(self) -> None:
        """Raises EngineError if rclone cannot be started, NoAnswer if it ends at once."""
        self._questions = Questions(self._inquiry)
        self._questions.start()

    def close(self) -> None:
        """Its rclone is dead when this returns."""
        if self._questions is not None:
            self._questions.close()

    def is_stopped(self) -> bool:
        return self._stopped

    def stop(self) -> None:
        self._stopped = True
        for reader in list(self._readers):
            reader.close()

    @property
    def questions(self) -> Questions:
        assert self._questions is not None  # noqa: S101 - it was started
        return self._questions

    # --- where ----------------------------------------------------------------------------------

    def at(self, text: str, *, single: bool = False) -> End:
        """The folder of a place, of a ``single`` file the one that holds it. One of this machine
        that is still to be made stands for the next one above it."""
        if text.startswith("/"):
            return LocalFolder(str(Path(text).parent) if single else existing(text))
        return RemoteFolder(self.questions, _parent(text)[0] if single else text)

    def at_exactly(self, text: str) -> End:
        """The same, and none above it: a name that this machine writes in another way is not found,
        and proves nothing."""
        return LocalFolder(text) if text.startswith("/") else self.at(text)

    def reachable(self, place: str) -> bool:
        return place.startswith("/") or place.partition(":")[0] in self._remotes

    # --- what is known without asking -----------------------------------------------------------

    def one_place_by_name(self, *, deletes: bool) -> str | None:
        """A refusal, where paths, devices or addresses show that the ends are one place."""
        order = self._order
        return same_place.refusal(order.source, order.destination, self._remotes, deletes=deletes)

    def one_account(self) -> bool:
        """Whether both ends are reached by the same account of one server."""
        source, destination = self._both_remotes()
        if source is None or destination is None:
            return False
        return same_place.same_account(source, destination)

    def one_machine(self, source: Storage, destination: Storage) -> bool:
        """Whether both ends may be seen by one machine, in ways that no path can tell."""
        begin, end = self._both_remotes()
        if begin is not None and end is not None:
            if self.one_account() or (
                source.bucket_based and destination.bucket_based and source.kind == destination.kind
            ):
                return False
            return bool(same_place.addresses(begin) & same_place.addresses(end))
        remote = begin or end
        if remote is None:
            return False
        local = self._order.source if begin is None else self._order.destination
        found = same_place.addresses(remote)
        return any(map(same_place.is_own, found)) or bool(
            found & same_place.addresses_of_mount(local)
        )

    def _both_remotes(self) -> tuple[Remote | None, Remote | None]:
        return self._remote(self._order.source), self._remote(self._order.destination)

    def _remote(self, text: str) -> Remote | None:
        return None if text.startswith("/") else self._remotes[text.partition(":")[0]]

    # --- what is asked --------------------------------------------------------------------------

    def storages(self) -> tuple[tuple[Storage, bool], tuple[Storage, bool]]:
        """Returns the storage of each end, and whether it is a single file."""
        order = self._order
        source, destination = together(
            [lambda: self._storage(order.source), lambda: self._storage(order.destination)]
        )
        return source, destination

    def _storage(self, text: str) -> tuple[Storage, bool]:
        if text.startswith("/"):
            return comparison.LOCAL, Path(text).is_file()
        kind = self._remotes[text.partition(":")[0]].backend
        try:
            return comparison.storage(kind, self.questions.features(text)), False
        except NoAnswer as error:
            if _IS_A_FILE not in error.message:
                raise
        # rclone says so as well when a storage gave no answer. One that does not let somebody look
        # says so at the next question; one that was starting, or was busy, may answer it.
        folder, name = _parent(text)
        storage = comparison.storage(kind, self.questions.features(folder))
        if self.questions.find(folder, name) is None:
            raise NoAnswer(_NO_ANSWER)
        return storage, True

    def may_hold_folders(self, place: str) -> bool:
        """Whether a folder lies there; one that cannot be asked may hold some."""
        return try_to_ask(lambda: self.questions.has_folders(place)) is not False

    def reader(self, place: str | None = None) -> SourceNames:
        """Returns a reader of the names in the source, or in another place."""
        reader = SourceNames(self._inquiry, place)
        self._readers.append(reader)
        if self._stopped:
            reader.close()
        return reader

    def samples(self, *, of_source: bool, shared: bool, new: bool, sends_equal: bool) -> Samples:
        """A server may not see, in a folder that it has listed before, what another one wrote
        there. Names of older files it does see."""
        order = self._order
        in_destination, in_source = together(
            [
                lambda: self._first_names(order.destination),
                lambda: self._first_names(order.source) if of_source else [],
            ]
        )
        return Samples(in_destination, in_source, shared=shared, new=new, sends_equal=sends_equal)

    def _first_names(self, place: str) -> list[str]:
        if place.startswith("/"):
            return first_files(place, samples.MAX_SAMPLES) if Path(place).is_dir() else []
        try:
            names = self.reader(place).first(samples.MAX_SAMPLES)
        except MissingSource:
            return []
        return [name for name in names if "\ufffd" not in name]


def existing(path: str) -> str:
    """The folder itself, or the next one above it that exists."""
    folder = Path(path)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return str(folder)


def is_bucket(text: str) -> bool:
    return "/" not in text.partition(":")[2].strip("/")


def is_root(text: str) -> bool:
    return not text.partition(":")[2].strip("/")


def _parent(text: str) -> tuple[str, str]:
    """The folder and the name of a file on a remote."""
    remote, _, path = text.partition(":")
    folder, _, name = path.rpartition("/")
    return f"{remote}:{folder}", name


def _tails(path: str) -> list[str]:
    """The ends of a path, the shortest first: of ``a/b/c`` these are ``c``, ``b/c``, ``a/b/c``."""
    parts = [part for part in path.split("/") if part]
    return ["/".join(parts[-length:]) for length in range(1, min(len(parts), _DEEPEST) + 1)]


def digest_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
