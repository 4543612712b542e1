"""What makes a transfer acceptable: one set of rules for the form and for programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from portal.errors import Invalid
from portal.paths import PathRefused, nested, resolve
from portal.services.jobs import Transfer
from portal.states import Operation

NAME_LENGTH = 200
BANDWIDTH_LENGTH = 64

# What rclone reads as a size, and no more bytes than its 63 bits hold: it takes `10Mi` and `10MiB`,
# not `10MB`.
_BANDWIDTH = re.compile(
    r"off|\d{1,9}(\.\d{1,3})?(b|[kmg](ib?)?)?|\d{1,3}(\.\d{1,3})?[tp](ib?)?",
    re.IGNORECASE | re.ASCII,
)


class _Refused(Exception):
    """A sentence for the person who typed the field."""


def transfer(
    *,
    name: str,
    operation: str,
    source: str,
    destination: str,
    bandwidth_limit: str,
    dry_run: bool,
    roots: Sequence[Path],
) -> Transfer:
    """What was asked for, with paths resolved. Raises Invalid with all that is wrong at once."""
    errors: dict[str, str] = {}

    def checked(field: str, rule: Callable[..., str], *typed: object) -> str:
        try:
            return rule(*typed)
        except _Refused as refused:
            errors[field] = str(refused)
            return ""

    title = checked("name", _name, name)
    wanted = checked("operation", _operation, operation)
    begin = checked("source", _path, source, roots, "Say where to copy from.")
    end = checked("destination", _path, destination, roots, "Say where to copy to.")
    limit = checked("bandwidth_limit", _bandwidth, bandwidth_limit)
    if begin and end and nested(Path(begin), Path(end)):
        errors["destination"] = "This lies inside the source, or the source inside it."
    if errors:
        raise Invalid(errors)
    return Transfer(title, Operation(wanted), begin, end, limit or None, dry_run)


def _name(text: str) -> str:
    text = text.strip()
    if not text:
        raise _Refused("Give the transfer a name.")
    if len(text) > NAME_LENGTH:
        raise _Refused(f"Use at most {NAME_LENGTH} characters.")
    if not text.isprintable():
        # One line of characters: anything else would break a list or a log.
        raise _Refused("Use plain characters, without line breaks.")
    return text


def _operation(text: str) -> str:
    if text not in tuple(Operation):
        raise _Refused("Choose copy, sync, move or check.")
    return text


def _path(text: str, roots: Sequence[Path], missing: str) -> str:
    if not text:
        raise _Refused(missing)
    try:
        path = str(resolve(text, roots))
    except PathRefused as refused:
        raise _Refused(str(refused)) from None
    try:
        path.encode()
    except UnicodeEncodeError:
        # Typed as text, it led through a link to a name that is none. No row can hold it.
        raise _Refused("This leads to a folder whose name is not UTF-8 text.") from None
    return path


def _bandwidth(text: str) -> str:
    text = text.strip()
    if len(text) > BANDWIDTH_LENGTH:
        raise _Refused(f"Use at most {BANDWIDTH_LENGTH} characters.")
    if text and not _BANDWIDTH.fullmatch(text):
        raise _Refused("Write a number and a unit, such as 10M or 512k, for each second.")
    return text
