"""Messages of rclone that are no errors to rclone, but mean that the transfer did not succeed."""

from __future__ import annotations

import re
from enum import Enum

SIZE_ONLY_WORDS = (
    r"falling back to --size-only|hashes? could not be checked|all hashes could not be"
)
MEETING_WORDS = r"Duplicate (?:object|directory|file) found in (?:the )?source"


class Alarm(Enum):
    #: Files were compared by less than was asked for.
    SIZE_ONLY = re.compile(SIZE_ONLY_WORDS)
    #: Two names of the source are one at the destination: one of the files was left out.
    MEETING = re.compile(MEETING_WORDS)


def alarm_in(message: str) -> Alarm | None:
    for alarm in Alarm:
        if alarm.value.search(message):
            return alarm
    return None
