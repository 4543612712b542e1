"""Why a transfer failed, in a sentence or two: what failed and what to do next."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from portal.engine.storage_errors import STORAGE_ERRORS

# The first pattern that one of the last errors holds wins, so the particular stand first.
_ERRORS: tuple[tuple[str, str], ...] = (
    (
        r"no space left on device|file too big for remaining disk space",
        "The destination disk is full. Free some space there, then retry.",
    ),
    (
        r"disk quota exceeded",
        "The disk quota at the destination is used up. Free some space there, then retry.",
    ),
    (
        r"read-only file system",
        "A file system is read-only. Make it writable, or choose another folder.",
    ),
    (
        r"can't (copy|sync|move|sync or move)[^\n]* overlapping",
        "Source and destination overlap. Choose two folders of which neither lies in the other.",
    ),
    (
        # A storage of objects says no more than this when it does not let somebody look.
        r"for \"[a-z0-9-]+:[^\"]*\": is a file not a directory",
        "The destination is a file, or these credentials may not look at it. Test the remote.",
    ),
    (
        r"is a file not a directory|not a directory",
        "The destination is, or lies below, a file. Choose a folder.",
    ),
    (
        r"file name too long",
        "A file name is too long for the destination. Shorten it, then retry.",
    ),
    (
        r"permission denied|operation not permitted",
        "The portal may not read or write one of the files. Change their permissions, then retry.",
    ),
    (
        r"input/output error",
        "A disk reported an input/output error. Check that disk before you retry.",
    ),
    (
        r"file too large",
        "A file is larger than the destination can hold. Choose another folder.",
    ),
    (
        r"too many open files",
        "The machine ran out of open files. Raise the limit of the portal, then retry.",
    ),
    *STORAGE_ERRORS,
    (
        r"error reading source root directory: directory not found",
        "The source folder does not exist. Check its path, then retry.",
    ),
    (
        r"can't copy - source file is being updated|corrupted on transfer",
        "A file changed while it was read. Retry when nothing writes to the source.",
    ),
    (
        r"--max-delete threshold reached",
        "It came to delete more than was confirmed, and was stopped. Check again, then confirm.",
    ),
    (
        r"failed to reload \"filter\" options",
        "rclone does not understand one of the patterns. Look at them, then retry.",
    ),
    (
        r"invalid argument \"[^\"]*\" for \"--bwlimit\"",
        "rclone does not understand the bandwidth limit. Use a form such as 10M.",
    ),
    (
        r"setpriv: failed to execute|exec format error",
        "rclone could not be started. Ask an administrator to look at the installation.",
    ),
)

_CODES: dict[int, str] = {
    2: "rclone did not accept its command line. Check the options of this job.",
    3: "The source folder does not exist. Check its path, then retry.",
    4: "The source file does not exist. Check its path, then retry.",
    5: "A temporary error lasted through all attempts. Retry later.",
    6: "Some files could not be transferred. Look at the errors, then retry.",
    7: "A fatal error ended the transfer. Look at the errors before you retry.",
    8: "The transfer limit is reached.",
    9: "There was nothing to transfer.",
    10: "The time limit is reached.",
}
_OTHER = "The transfer failed. Look at the errors, then retry."
_DIFFERENCES = re.compile(r"(\d+) differences found")
# rclone answers these two by itself and then exits with 128 + number.
_ANSWERED_SIGNALS = {130: signal.SIGINT, 143: signal.SIGTERM}


def reason_for(exit_code: int, stopped: bool, error_lines: Sequence[str]) -> str:
    """The reason of an end that is no success."""
    if stopped:
        return "The transfer was stopped."
    if (number := _signal_of(exit_code)) is not None:
        return (
            f"rclone was killed by signal {number} ({_signal_name(number)}) from outside the "
            "portal. Retry, and find out what ended it if it happens again."
        )
    said = "\n".join(error_lines)
    for pattern, sentence in _ERRORS:
        if re.search(pattern, said, re.IGNORECASE):
            return sentence
    if found := _DIFFERENCES.search(said):
        count = int(found[1])
        noun = "difference" if count == 1 else "differences"
        return f"Source and destination differ: {count} {noun}. The errors name the files."
    return _CODES.get(exit_code, _OTHER)


def _signal_of(exit_code: int) -> int | None:
    return -exit_code if exit_code < 0 else _ANSWERED_SIGNALS.get(exit_code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
