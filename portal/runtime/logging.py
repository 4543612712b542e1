"""Structured log lines on standard error: text for people, JSON for programs."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO

import structlog

from portal.transfers.names import visible

#: They warn of what strangers send, a line for each. What is broken is counted and logged by ours.
_QUIET_ABOUT_CLIENTS = ("engineio.server", "socketio.server")
_QUIET = (
    "alembic",
    # Celery logs each message; the job's own line says more.
    "celery.worker.strategy",
    "celery.app.trace",
)


class _Lossy:
    """A stream that drops lines when the disk is full: the portal serves even without a log."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream  # None if standard error was closed before the start

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()


def configure(form: str) -> None:
    """``form``: ``text`` or ``json``. Both escape line breaks, so that nobody can forge a line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.processors.format_exc_info,
            _visible,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event"], bool_as_flag=False
            ),
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        foreign_pre_chain=shared,
    )
    stream: Any = _Lossy(sys.stderr)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    # The event says who logs it. Looking up frame, thread and process costs more than the rest of a
    # line.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _QUIET_ABOUT_CLIENTS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Our own lines bypass the library's loggers, which would double the cost of each.
    structlog.configure(
        processors=[*shared, *renderer],
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )


def _visible(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escapes characters that move the cursor of a terminal or break a line. The renderer escapes
    line feeds itself."""
    return {name: _escaped(value) for name, value in event.items()}


def _escaped(value: object) -> object:
    if not isinstance(value, (str, list, tuple)):
        return value
    return "\n".join(visible(line) for line in str(value).split("\n"))


def say(line: str) -> None:
    """Tells the person who started the process, on standard output. Nobody may be there to read
    it."""
    with suppress(OSError, ValueError):  # such as a full disk, or a stream that was closed
        print(line, flush=True)  # noqa: T201
