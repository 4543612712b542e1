"""A source that is one file, which filters may leave out.

If its source is a file, rclone ignores filters: a file of 5 GB is moved in spite of ``--max-size
1M``. Therefore rclone gets the folder, and rules that leave out every other name. Then all filters
apply, and other files at the destination are left alone.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from portal.engine.answers.run_once import RcloneAnswer, run_once
from portal.engine.errors import EngineError
from portal.engine.failures.exit_codes import is_retryable, reason_for
from portal.engine.order.command import TransferOrder
from portal.engine.order.remotes import Remote

#: Seconds for which a storage is asked.
_TIMEOUT = 20.0
_MAX_BYTES = 1024 * 1024
_NOT_FOUND = frozenset({3, 4})


@dataclass(frozen=True, slots=True)
class Shape:
    """``name``: of a source that is one file, as rclone lists it in its folder; None of any other
    source. ``problem``: why that is not known, in a sentence, and whether it ``is_retryable``."""

    name: str | None = None
    problem: str = ""
    is_retryable: bool = False
    errors: tuple[str, ...] = ()
    exit_code: int | None = None


def shape_of(
    rclone: Path,
    remote: Remote | None,
    path: str,
    *,
    began: Callable[[Callable[[], None]], None] | None = None,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> Shape:
    """``path``: on the remote, or an absolute local one. What does not exist is no file. ``began``
    and ``is_unwanted`` end the question early, as in ``run_once``, which raises its errors."""
    folder, name = split(path)
    if not name:
        return Shape()
    if remote is None:
        return Shape(listed(name)) if _is_file(Path(path.rstrip("/"))) else Shape()
    where = f"{remote.name}:{folder}{name}"
    wanted = ["lsjson", "--stat", "--no-mimetype", "--no-modtime", "--", where]
    answer = run_once(
        rclone,
        wanted,
        remote,
        seconds=_TIMEOUT,
        most=_MAX_BYTES,
        began=began,
        is_unwanted=is_unwanted,
    )
    if answer.exit_code in _NOT_FOUND and not answer.cut:
        return Shape()
    if answer.exit_code == 0 and (is_folder := _is_folder(answer.output)) is not None:
        return Shape() if is_folder else Shape(name)
    return _unknown(answer)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # rclone will say why


def _unknown(answer: RcloneAnswer) -> Shape:
    if answer.cut:
        problem, passes = f"The storage did not answer within {_TIMEOUT:.0f} s.", True
    else:
        problem = reason_for(answer.exit_code, False, answer.nameless_errors)
        passes = is_retryable(answer.exit_code, False, answer.nameless_errors)
    return Shape(None, problem, passes, answer.errors, answer.exit_code)


def _is_folder(output: bytes) -> bool | None:
    try:
        entry = json.loads(output)
    except (ValueError, RecursionError):
        return None
    found = entry.get("IsDir") if isinstance(entry, dict) else None
    return found if isinstance(found, bool) else None


def split(path: str) -> tuple[str, str]:
    """The folder with its last slash, and the name in it: ``/a/b`` → ``/a/``, ``b``."""
    head, slash, name = path.rstrip("/").rpartition("/")
    return f"{head}{slash}", name


def listed(name: str) -> str:
    """Returns the name as rclone lists a local file: control characters become pictures, and
    pictures are marked."""
    return "".join(_LISTED.get(character, character) for character in name)


def on_disk(path: str) -> str:
    """Returns the path on this machine of one that rclone lists."""
    return _PICTURE.sub(lambda found: _UNLISTED.get(found[0], found[0]), path)


_CONTROLS = {**{chr(code): chr(0x2400 + code) for code in range(1, 0x20)}, "\x7f": "\u2421"}
_LISTED = {**_CONTROLS, **{picture: f"\u201b{picture}" for picture in _CONTROLS.values()}}
_UNLISTED = {listed: character for character, listed in _LISTED.items()}
_PICTURE = re.compile("\u201b?[" + "".join(_CONTROLS.values()) + "]")


# --- of an order --------------------------------------------------------------------------------


class Lookup:
    """Finds out the shape of an order's source, while others have their turn."""

    def __init__(self, rclone: Path, order: TransferOrder) -> None:
        self._rclone = rclone
        name, _, self._path = order.source.partition(":")
        local = order.source.startswith("/")
        self._path = order.source if local else self._path
        self._remote = None if local else next(one for one in order.remotes if one.name == name)
        self._end: Callable[[], None] | None = None
        self._error: EngineError | None = None
        self.shape = Shape(problem="The transfer was stopped.")

    def wait(self, tick: float, stopped: Callable[[], bool]) -> Iterator[None]:
        """None after each tick. Raises EngineError."""
        thread = threading.Thread(target=self._look, name="source-shape", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(tick)
            if thread.is_alive():
                if stopped() and self._end is not None:
                    self._end()
                yield None
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        try:
            self.shape = shape_of(self._rclone, self._remote, self._path, began=self._began)
        except EngineError as error:
            self._error = error

    def _began(self, end: Callable[[], None]) -> None:
        self._end = end


def narrow_to_file(order: TransferOrder, name: str) -> TransferOrder:
    """Returns the same order for the folder that holds the file."""
    if order.source.startswith("/"):
        return replace(order, source=split(order.source)[0], only=name)
    remote, _, path = order.source.partition(":")
    return replace(order, source=f"{remote}:{split(path)[0]}", only=name)
