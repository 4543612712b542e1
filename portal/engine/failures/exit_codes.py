"""Why a transfer failed, in a sentence or two: what failed and what to do next."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import replace

from portal.engine.failures.connection_errors import CONNECTION_ERRORS, FIRST_CONTACT
from portal.engine.failures.reasons import KnownReason
from portal.engine.failures.storage_errors import STORAGE_ERRORS
from portal.engine.output.alarms import MEETING_WORDS, SIZE_ONLY_WORDS
from portal.transfers.counted import counted

#: Words for what the system says of a file that somebody has replaced, see ``replaced_files``.
REPLACED = "replaced at the source meanwhile"
DESTINATION_IS_A_FILE = "The destination is, or lies below, a file. Choose a folder."

# The first pattern that matches one of the last errors wins: specific ones come first.
_ERRORS: tuple[KnownReason, ...] = (
    KnownReason(
        r"no space left on device|file too big for remaining disk space",
        "The destination disk is full. Free some space there, then retry.",
    ),
    KnownReason(
        r"disk quota exceeded",
        "The disk quota at the destination is used up. Free some space there, then retry.",
    ),
    KnownReason(
        r"read[- ]only file system",
        "A file system is read-only. Make it writable, or choose another folder.",
    ),
    KnownReason(
        r"can't (copy|sync|move|sync or move)[^\n]* overlapping",
        "Source and destination overlap. Choose two folders, neither inside the other.",
    ),
    KnownReason(
        # rclone says no more than this when a storage of objects gave it no answer. That it is no
        # file was seen right before, see ``safety``.
        r"for \"[a-z0-9-]+:[^\"]*\": is a file not a directory",
        "The destination is a file, or the storage did not say what it is. Test the remote, then "
        "retry.",
        is_retryable=True,
        retry_words="{storage} does not say what the destination is",
    ),
    KnownReason(r"is a file not a directory", DESTINATION_IS_A_FILE, is_retryable=None),
    KnownReason(
        # A file is read for its hash when all of it was sent.
        rf"{REPLACED}|failed to calculate src hash[^\n]*"
        r"(no such file|not found|does not exist|not a directory)",
        "Some files were renamed, deleted, or replaced by links or folders at the source during "
        "the transfer; the errors name them. The portal removed none of them from the source. "
        "Retry to transfer what is there now.",
        is_retryable=None,
    ),
    KnownReason(
        r"failed to open source object\b[^\n]*not a directory"
        r"|failed to (open source object|read metadata)\b[^\n]*"
        r"(no such file|not found|does not exist)",
        "Some files could not be found when their turn came; the errors name them. Retry when "
        "nothing else changes the source.",
        is_retryable=None,
    ),
    KnownReason(
        # The destination itself, one above it, or one below it: the system says it of all three.
        r"not a directory",
        "A file lies where the destination needs a folder; the errors name it. Rename that file, "
        "or choose another folder.",
        is_retryable=None,
    ),
    KnownReason(
        r"can't move object - incompatible remotes|is a directory not a file",
        "A folder, or something else that is no file, lies at the destination under the name of a "
        "file; the errors name it. Rename one of the two, then retry.",
        is_retryable=None,
    ),
    KnownReason(
        r"file name too long",
        "A file name is too long for the destination. Shorten it, then retry.",
        is_retryable=None,
    ),
    KnownReason(
        r"permission denied|operation not permitted",
        "The portal is not allowed to read or write one of the files. Change their permissions, "
        "then retry.",
        is_retryable=None,
    ),
    KnownReason(
        r"input/output error",
        "A disk reported an input/output error. Check that disk before you retry.",
        is_retryable=None,
    ),
    KnownReason(
        r"file too large",
        "A file is larger than the destination can hold. Choose another folder.",
        is_retryable=None,
    ),
    KnownReason(
        r"too many open files",
        "Too many files are open on this machine. Raise the portal's limit, then retry.",
        is_retryable=None,
    ),
    *CONNECTION_ERRORS,
    *STORAGE_ERRORS,
    KnownReason(
        r"error reading source root directory: directory not found",
        "The source folder does not exist. Check its path, then retry.",
    ),
    KnownReason(
        # rclone cannot read back a few names that it writes in another way itself.
        r"error reading source directory: directory not found",
        "A folder of the source could not be found when its turn came; the errors name it. If it "
        "is still there, rename it, then retry.",
        is_retryable=None,
    ),
    KnownReason(
        MEETING_WORDS,
        "Two names in the source differ only by case, or by how an accent is written, and are "
        "taken for one file at the destination. One of them was left out; the errors name it. "
        "Rename it, then retry.",
    ),
    KnownReason(
        SIZE_ONLY_WORDS,
        "Some files could be compared by their size only, which does not show whether they are "
        "equal. The errors say more.",
    ),
    KnownReason(
        r"can't copy - source file is being updated",
        "A file changed while it was being read. Retry when nothing writes to the source.",
        is_retryable=None,
    ),
    KnownReason(
        r"corrupted on transfer|api error BadDigest",
        "What arrived is not what was sent, and was thrown away: the file was changed meanwhile, "
        "or damaged on its way. Retry. If it happens again with FTP and TLS, tick “Disable TLS "
        "1.3” in the remote: some servers lose the end of a file with it.",
        is_retryable=None,
    ),
    KnownReason(
        r"--max-delete threshold reached",
        "It was about to delete more than you confirmed, and was stopped. Preview again, then "
        "confirm.",
    ),
    KnownReason(
        r"failed to reload \"filter\" options",
        "rclone does not understand one of the patterns. Check them, then retry.",
    ),
    KnownReason(
        r"invalid argument \"[^\"]*\" for \"--bwlimit\"",
        "rclone does not understand the bandwidth limit. Use a form such as 10M.",
    ),
    KnownReason(
        r"setpriv: failed to execute|exec format error",
        "rclone could not be started. Ask an admin to check the installation.",
    ),
)

_CODES: dict[int, str] = {
    2: "rclone did not accept its command line. Check the options of this job.",
    3: "The source folder does not exist. Check its path, then retry.",
    4: "The source file does not exist. Check its path, then retry.",
    5: "A temporary error lasted through all attempts. Retry later.",
    6: "Some files could not be transferred. Check the errors, then retry.",
    7: "A fatal error ended the transfer. Check the errors before you retry.",
    8: "The transfer limit is reached.",
    9: "There was nothing to transfer.",
    10: "The time limit is reached.",
}
#: rclone's exit code for errors that rclone itself calls retryable.
_RETRYABLE = 5
#: Wrong options, nothing there, a fatal error, a limit that was reached.
_LASTING = frozenset({2, 3, 4, 7, 8, 9, 10})
_OTHER = "The transfer failed. Check the errors, then retry."
_DIFFERENCES = re.compile(r"(?<!\d)(\d++) differences found")
_NO_MODES = re.compile(
    # A file that is gone has no mode either, and refuses nothing.
    r"failed to (change permissions|set metadata|read metadata)"
    rf"(?![^\n]*(no such file|{REPLACED}))",
    re.IGNORECASE,
)
# rclone handles these two signals itself, and then exits with 128 + number.
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
    text = "\n".join(error_lines)
    if reason := _found(text):
        return reason.sentence
    if found := _DIFFERENCES.search(text):
        count = int(found[1])
        differ = counted(count, "file differs", "files differ")
        return f"{differ}. The errors name {'it' if count == 1 else 'them'}."
    return _CODES.get(exit_code, _OTHER)


def cause_of(error_lines: Sequence[str]) -> str | None:
    """Why a first question to a storage failed; None if these words are not known."""
    for line in reversed(error_lines):
        if reason := _found(line, (*FIRST_CONTACT, *_ERRORS)):
            return reason.sentence
    return None


def is_retryable(exit_code: int, stopped: bool, error_lines: Sequence[str]) -> bool:
    """Whether another try may well succeed. One error that lasts decides against all that may pass:
    with the wrong password nothing is gained by trying again."""
    if stopped or _signal_of(exit_code) is not None or exit_code in _LASTING:
        return False
    reasons = [reason for line in error_lines if (reason := _found(line)) is not None]
    verdicts = {reason.is_retryable for reason in reasons}
    if False in verdicts:
        return False
    return True in verdicts or exit_code == _RETRYABLE


def modes_refused(error_lines: Sequence[str]) -> bool:
    """Whether a file could not be given its mode, or not be asked for it."""
    return any(_NO_MODES.search(line) for line in error_lines)


def is_reason(text: str) -> bool:
    """Whether one would be read in these words."""
    others = (_DIFFERENCES, _NO_MODES)
    return _found(text) is not None or any(one.search(text) for one in others)


def retryable_reason(error_lines: Sequence[str]) -> KnownReason | None:
    """The newest of these errors that may pass."""
    found = (_found(line) for line in reversed(error_lines))
    return next((reason for reason in found if reason is not None and reason.is_retryable), None)


def _found(text: str, reasons: tuple[KnownReason, ...] = _ERRORS) -> KnownReason | None:
    for reason in reasons:
        if found := re.search(reason.pattern, text, re.IGNORECASE):
            named = found.groupdict()
            return replace(reason, sentence=reason.sentence.format(**named)) if named else reason
    return None


def _signal_of(exit_code: int) -> int | None:
    return -exit_code if exit_code < 0 else _ANSWERED_SIGNALS.get(exit_code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
