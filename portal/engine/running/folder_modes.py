"""Sets the modes of folders at a local destination, and removes folders that a move has emptied,
when the files have gone.

rclone sets the mode of a folder before it writes into it: without root's rights it could not copy a
read-only folder. And it removes the top of an emptied source as well.

Others may change both trees meanwhile: every folder is opened by its real path without following
links, and used only through that open descriptor.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.engine import partials

_YIELD_EVERY = 500
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folders:
    """``destination`` is None where it is no folder of this machine; all such folders of the source
    are then taken to have arrived."""

    def __init__(
        self,
        source: Path,
        destination: Path | None,
        *,
        modes: bool = False,
        remove: bool = False,
        since: float = math.inf,
        passed_over: Callable[[str], None] = lambda name: None,
    ) -> None:
        """``modes``: give those at the destination the modes of the source's. ``remove``: remove
        what is empty at the source, its top excepted. ``since``, in seconds since 1970: what was
        changed after it was perhaps emptied by the transfer itself. ``passed_over`` gets the paths
        of files that no transfer takes, since they are named like partial files."""
        self._source = source
        self._destination = destination
        self._modes = modes
        self._remove = remove
        self._since = since
        self._passed_over = passed_over
        #: How many folders of the source have been empty for longer.
        self.empty = 0

    def settle(self) -> Iterator[None]:
        """Does it in small steps."""
        steps = 0
        found: list[tuple[str, ...]] = []
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            parts = waiting.pop()
            for inner in self._look(parts):
                waiting.append((*parts, inner))
                steps += 1
                if steps % _YIELD_EVERY == 0:
                    time.sleep(0)  # the others of this process have their turn
                    yield None
            if parts and self._remove:
                found.append(parts)
        for parts in reversed(found):
            # Sorted: a folder comes after the one that holds it.
            self._remove_empty(parts)
            steps += 1
            if steps % _YIELD_EVERY == 0:
                time.sleep(0)
                yield None

    def _look(self, parts: tuple[str, ...]) -> list[str]:
        """The names of the folders in one of the source."""
        try:
            with _opened(self._source.joinpath(*parts)) as folder, os.scandir(folder) as entries:
                inner, number = [], 0
                for entry in entries:
                    number += 1
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(entry.name)
                    elif partials.is_partial(entry.name):
                        self._passed_over("/".join((*parts, entry.name)))
                about = os.fstat(folder)
                self.empty += bool(parts) and number == 0 and about.st_mtime < self._since
                if parts and self._modes:
                    self._set_mode(parts, stat.S_IMODE(about.st_mode))
                return inner
        except OSError:
            return []  # it has vanished, or we may not read it: rclone has reported that

    def _set_mode(self, parts: tuple[str, ...], wanted: int) -> None:
        assert self._destination is not None  # noqa: S101 - ``modes`` is for two local sides
        with (
            contextlib.suppress(OSError),  # it was not made, or belongs to somebody else
            _opened(self._destination.joinpath(*parts)) as folder,
        ):
            present = stat.S_IMODE(os.fstat(folder).st_mode)
            # A bit such as setgid is the destination's own affair.
            mode = present & 0o7000 | wanted & 0o777
            if mode != present:
                os.fchmod(folder, mode)

    def _remove_empty(self, parts: tuple[str, ...]) -> None:
        with contextlib.suppress(OSError):  # it holds something that stays
            if self._destination is not None:
                # One that has not arrived is kept.
                with _opened(self._destination.joinpath(*parts)):
                    pass
            with _opened(self._source.joinpath(*parts[:-1])) as holder:
                os.rmdir(parts[-1], dir_fd=holder)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A handle of the folder; raises OSError if there is none, or a link on the way to it."""
    folder = os.open(path, _FOLDER)
    try:
        if Path(f"/proc/self/fd/{folder}").readlink() != path:
            raise NotADirectoryError(f"{path} leads elsewhere")
        yield folder
    finally:
        os.close(folder)
