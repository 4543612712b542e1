"""Processes as /proc shows them. The start time tells apart two processes that had the same pid."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_DEAD = frozenset("ZXx")
_STOPPED = frozenset("Tt")


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """A process that was alive when looked at."""

    pid: int
    group: int
    started: int


def inspect(pid: int) -> ProcessInfo | None:
    """The process if it is alive; a zombie is not."""
    fields = _fields(pid)
    if not fields or fields[0] in _DEAD:
        return None
    return ProcessInfo(pid, group=int(fields[2]), started=int(fields[19]))


def is_stopped(pid: int) -> bool:
    """Whether the process is alive and was stopped by a signal, as a paused rclone is."""
    fields = _fields(pid)
    return bool(fields) and fields[0] in _STOPPED


def _fields(pid: int) -> list[str]:
    """The fields of its line in /proc, from the state on; empty if it is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return []
    # The name in parentheses may itself hold spaces and parentheses.
    return text[text.rindex(b")") + 2 :].decode("ascii").split()


def process_identity() -> str:
    """Names this very process, also after its pid has been given to another."""
    me = inspect(os.getpid())
    return f"{os.getpid()}:{me.started if me else 0}"


def process_lives(identity: str) -> bool:
    """Whether the process that `process_identity` named is still there."""
    pid, _, started = identity.partition(":")
    if not (pid.isdecimal() and started.isdecimal()):
        return False
    found = inspect(int(pid))
    return found is not None and found.started == int(started)


def variables(pid: int) -> dict[str, str]:
    """The environment it was started with; empty if it is gone or not ours to read."""
    try:
        block = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in block.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def pids() -> list[int]:
    """All processes of the machine that can be seen."""
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
