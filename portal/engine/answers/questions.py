"""One rclone that answers many questions about the two ends of a transfer, each in a request.

To start an rclone costs some fifty milliseconds, and to sign in to a storage often more: here that
is paid once, however much is asked.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

from portal.engine.answers.inquiry import Inquiry
from portal.engine.errors import EngineError
from portal.engine.failures.exit_codes import retryable_reason
from portal.engine.order import confinement
from portal.engine.order.command import environment
from portal.engine.order.remotes import beginning
from portal.engine.order.runtime_dir import RuntimeDir
from portal.engine.output.progress import ProgressParser
from portal.engine.output.redaction import SecretRedactor
from portal.engine.output.statistics import printable
from portal.engine.output.stderr import StderrReader
from portal.engine.process.binary import ensure_executable, setpriv_path
from portal.engine.process.group import ProcessGroup

#: One try and short waits of rclone, which would try for minutes.
_SHORT_WAITS = (
    "--contimeout", "10s", "--timeout", "20s", "--retries", "1", "--low-level-retries", "1",
    "--use-json-log", "--log-level", "ERROR",
)  # fmt: skip
#: rclone starts within a tenth of a second; these are for a machine that has no time.
_START = 30.0
_LISTENS = 5.0
_TIMEOUT = 20.0
#: A storage that says at once that it failed, as a busy one does, is asked again after these; not
#: one that let somebody wait for longer than ``_AT_ONCE``.
_PAUSES = (0.1, 0.4)
_AT_ONCE = 2.0
_POLL = 0.002
_ERROR_LENGTH = 500
_BOUNDARY = "7b0e2fb5d1c24ad7a1d0c0f6e4b7a9c3"

T = TypeVar("T")


class NoAnswer(Exception):
    """rclone could not do it. ``message`` is its own, without secrets; ``errors`` are all lines of
    it."""

    def __init__(self, message: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors or (message,)


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    folder: bool
    size: int


class Questions:
    """Start and close it in one thread; ask from any. Everything asked after ``close()``, or while
    it closes, raises NoAnswer."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry, self._order = inquiry, inquiry.order
        secrets = {secret for remote in self._order.remotes for secret in remote.secrets}
        self._redactor = SecretRedactor(secrets)
        self._group: ProcessGroup | None = None
        self._runtime_dir: RuntimeDir | None = None
        self._socket = ""
        self._reader: StderrReader | None = None

    def start(self) -> None:
        """Raises EngineError if rclone cannot be started, NoAnswer if it ends at once."""
        ensure_executable(self._inquiry.rclone)
        try:
            self._runtime_dir = RuntimeDir()
            if self._runtime_dir.socket is None:
                raise EngineError("The name of the temporary folder is too long for a socket.")
            self._socket = str(self._runtime_dir.socket)
            self._group = ProcessGroup(
                [
                    *beginning(setpriv_path(), self._inquiry.rclone, self._order.remotes),
                    "rcd", "--config", "", "--rc-addr", f"unix://{self._socket}",
                    "--rc-no-auth", *_SHORT_WAITS,
                ],
                environment(self._order, self._inquiry.data_dir),
                rules=confinement.of_looking(
                    self._inquiry.rclone, setpriv_path(), self._order, self._runtime_dir.folder
                ),
            )  # fmt: skip
        except OSError as error:
            raise EngineError(f"rclone cannot be started: {error.strerror}.") from error
        if self._inquiry.begun is not None:
            self._inquiry.begun(self._group.pid)
        reader = StderrReader(self._group.stderr, ProgressParser("copy", False), self._redactor)
        reader.start()
        self._reader = reader
        self._await_socket(self._group, reader)

    def close(self) -> None:
        """Its process group is dead and reaped when this returns."""
        if self._group is not None:
            # Those that are still waiting get an error instead of an answer.
            self._group.stop(0)
            while not self._group.reap():
                self._group.kill_if_overdue()
                time.sleep(_POLL)
            if self._reader is not None:
                self._reader.wait()
        if self._runtime_dir is not None:
            self._runtime_dir.remove()

    def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """rclone's answer. Raises NoAnswer."""
        return self._send(f"/{method}", json.dumps(parameters).encode(), "application/json")

    # --- what is asked --------------------------------------------------------------------------

    def features(self, place: str) -> dict[str, Any]:
        return self.call("operations/fsinfo", {"fs": place})

    def find(self, place: str, name: str, *, folders: bool = False) -> Item | None:
        """The file or folder of this name; None if there is none."""
        # Found in the list of the folder that holds it.
        kind = {"dirsOnly": True} if folders else {"filesOnly": True}
        asked = {"fs": place, "remote": name, "opt": {**kind, "noMimeType": True}}
        found = self.call("operations/stat", asked).get("item")
        return _item(found) if isinstance(found, dict) else None

    def first_names(self, place: str, number: int) -> dict[str, int]:
        """Names in a folder and their sizes, -1 of a folder."""
        asked = {"fs": place, "remote": "", "opt": {"noModTime": True, "noMimeType": True}}
        reply = self.call("operations/list", asked).get("list") or []
        items = [_item(one) for one in reply[:number]]
        return {item.name: -1 if item.folder else item.size for item in items}

    def has_folders(self, place: str) -> bool:
        """Whether this folder holds a folder."""
        asked = {"fs": place, "remote": "", "opt": {"dirsOnly": True, "noModTime": True}}
        return bool(self.call("operations/list", asked).get("list"))

    def write(self, place: str, name: str, content: bytes) -> None:
        query = urlencode({"fs": place, "remote": ""})
        body = b"".join(
            (
                f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '.encode(),
                f'filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode(),
                content,
                f"\r\n--{_BOUNDARY}--\r\n".encode(),
            )
        )
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        self._send(f"/operations/uploadfile?{query}", body, kind)

    def digest(self, place: str, name: str) -> str:
        """MD5 of what is read there now, byte by byte."""
        asked = {"fs": place, "remote": name, "hashType": "md5", "download": True}
        return str(self.call("operations/hashsumfile", asked).get("hash", ""))

    def remove(self, place: str, name: str) -> None:
        self.call("operations/deletefile", {"fs": place, "remote": name})

    # --- how ------------------------------------------------------------------------------------

    def _send(self, path: str, body: bytes, kind: str) -> dict[str, Any]:
        pauses = iter(_PAUSES)
        while True:
            asked = time.monotonic()
            status, answered = self._send_once(path, body, kind)
            if status == HTTPStatus.OK:
                return answered
            error = NoAnswer(self._printable(answered))
            at_once = time.monotonic() - asked < _AT_ONCE
            passes = at_once and retryable_reason((error.message,)) is not None
            pause = next(pauses, None)
            if pause is None or not passes:
                raise error
            time.sleep(pause)

    def _send_once(self, path: str, body: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        """The status, and the answer or what rclone says of its error."""
        connection = _UnixConnection(self._socket, _TIMEOUT)
        try:
            connection.request("POST", path, body, {"Content-Type": kind})
            answer = connection.getresponse()
            content = answer.read()
            reply: Any = json.loads(content) if content.strip() else {}
        except TimeoutError as error:
            raise NoAnswer(f"i/o timeout: no answer within {_TIMEOUT:.0f} s") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        answered: dict[str, Any] = reply if isinstance(reply, dict) else {}
        if answer.status != HTTPStatus.OK:
            answered.setdefault("error", answer.reason)
        return answer.status, answered

    def _printable(self, answered: dict[str, Any]) -> str:
        return printable(self._redactor.redact(str(answered["error"])), _ERROR_LENGTH)

    def _await_socket(self, group: ProcessGroup, reader: StderrReader) -> None:
        deadline = time.monotonic() + _START
        while not Path(self._socket).exists():
            if group.reap() or time.monotonic() > deadline:
                reader.wait(1.0)
                lines = [printable(error.text, _ERROR_LENGTH) for error in list(reader.errors)]
                raise NoAnswer("; ".join(lines[-1:]) or "rclone gave no answer", tuple(lines))
            time.sleep(_POLL)


def _item(reply: dict[str, Any]) -> Item:
    return Item(str(reply.get("Name", "")), bool(reply.get("IsDir")), int(reply.get("Size", 0)))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        deadline = time.monotonic() + _LISTENS
        while True:
            try:
                self.sock.connect(self._path)
                return
            except ConnectionRefusedError:
                # Bound, and not yet listening.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL)


class BackgroundCall(Generic[T]):
    """An answer that a thread looks up after ``start()``, or at the latest when it is needed."""

    def __init__(self, question: Callable[[], T]) -> None:
        self._question = question
        self._answer: T | None = None
        self._error: Exception | None = None
        # A plain thread: the pools of the standard library block a process of green threads.
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._ask, name="question", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether no thread is looking it up any more."""
        if self._thread is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def answer(self) -> T:
        """Raises what the question raised."""
        if self._thread is None:
            return self._question()
        self.wait()
        if self._error is not None:
            raise self._error
        return cast(T, self._answer)

    def _ask(self) -> None:
        try:
            self._answer = self._question()
        except Exception as error:  # noqa: BLE001 - carried to the thread that waits, which raises it
            self._error = error


def together(questions: Sequence[Callable[[], T]]) -> list[T]:
    """The answers, asked at once; the first error is raised when all have ended."""
    asked = [BackgroundCall(question) for question in questions]
    for later in asked:
        later.start()
    for later in asked:
        later.wait()
    return [later.answer() for later in asked]


def try_to_ask(question: Callable[[], T]) -> T | NoAnswer:
    """The answer, or why there is none."""
    try:
        return question()
    except NoAnswer as error:
        return error
