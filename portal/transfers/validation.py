"""What makes a transfer acceptable: one set of rules for the form and for programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from portal.errors import Invalid
from portal.transfers import bandwidth as timetable
from portal.transfers import options
from portal.transfers.local_paths import PathRefused
from portal.transfers.locations import Location, locate, overlap
from portal.transfers.names import is_name
from portal.transfers.options import Options
from portal.transfers.pools import DEFAULT_POOL
from portal.transfers.request import Transfer
from portal.transfers.states import Operation

NAME_LENGTH = 200
BANDWIDTH_LENGTH = timetable.LENGTH

T = TypeVar("T")


class _Refused(Exception):
    """A sentence for the person who typed the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """Options as they were typed; an empty text stands for the default."""

    include: list[str]
    exclude: list[str]
    min_age: str = ""
    max_size: str = ""
    checksum: bool = False
    verify: bool = False
    allow_empty_source: bool = False
    transfers: str = ""
    retries: str = ""


NOTHING_TYPED = Typed(include=[], exclude=[])


class _Findings:
    """What each rule gave, and each error beside its field."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def checked(self, field: str, otherwise: T, rule: Callable[..., T], *typed: object) -> T:
        try:
            return rule(*typed)
        except (_Refused, options.Refused, timetable.NoTimetable) as refused:
            self.errors[field] = str(refused)
            return otherwise


def transfer(
    *,
    name: str,
    operation: str,
    source: str,
    destination: str,
    bandwidth_limit: str,
    dry_run: bool,
    roots: Sequence[Path],
    remotes: Mapping[str, int],
    typed: Typed = NOTHING_TYPED,
    timezone: str = "UTC",
    pool: str = "",
    pools: Collection[str] = (),
) -> Transfer:
    """What was asked for, with paths resolved. Raises Invalid with all that is wrong at once.
    ``remotes``: name → id of those that whoever asks may use; ``timezone`` is theirs; ``pools`` are
    those that there are beside the default one."""
    found = _Findings()
    title = found.checked("name", "", _name, name)
    wanted = found.checked("operation", "", _operation, operation)
    none, places = Location(""), (roots, remotes)
    begin = found.checked("source", none, _place, source, *places, "Say where to copy from.")
    end = found.checked("destination", none, _place, destination, *places, "Say where to copy to.")
    limit = found.checked("bandwidth_limit", None, timetable.parse, bandwidth_limit)
    chosen = _options(found, typed, wanted, timezone if limit and not limit.constant else "UTC")
    workers = found.checked("pool", None, _pool, pool, pools)
    if begin.text and end.text and overlap(begin.text, end.text):
        found.errors["destination"] = "This lies inside the source, or the source inside it."
    if found.errors:
        raise Invalid(found.errors)
    return Transfer(
        title,
        Operation(wanted),
        begin.text,
        end.text,
        str(limit) if limit else None,
        dry_run,
        options=chosen,
        source_remote_id=begin.remote_id,
        destination_remote_id=end.remote_id,
        pool=workers,
    )


def selection(
    source: str, typed: Typed, *, roots: Sequence[Path], remotes: Mapping[str, int]
) -> tuple[Location, Options]:
    """Where files are to be taken from, and which of them. Raises Invalid as ``transfer``."""
    found = _Findings()
    begin = found.checked(
        "source", Location(""), _place, source, roots, remotes, "Say where to copy from."
    )
    chosen = Options(**_filters(found, typed))
    if found.errors:
        raise Invalid(found.errors)
    return begin, chosen


def bandwidth(text: str) -> str | None:
    """A limit as it is stored, None for none. Raises Invalid."""
    try:
        limit = timetable.parse(text)
    except timetable.NoTimetable as refused:
        raise Invalid({"bandwidth_limit": str(refused)}) from None
    return str(limit) if limit else None


def _options(found: _Findings, typed: Typed, operation: str, timezone: str) -> Options:
    usual = options.USUAL
    return Options(
        **_filters(found, typed),
        checksum=typed.checksum,
        verify=found.checked("verify", False, _verify, typed.verify, operation),
        allow_empty_source=typed.allow_empty_source and operation == Operation.SYNC,
        transfers=found.checked(
            "transfers", 0, _number, typed.transfers, usual.transfers, 1, options.MOST_TRANSFERS
        ),
        retries=found.checked(
            "retries", 0, _number, typed.retries, usual.retries, 0, options.MOST_RETRIES
        ),
        timezone=timezone,
    )


def _filters(found: _Findings, typed: Typed) -> dict[str, Any]:
    none: tuple[str, ...] = ()
    return {
        "include": found.checked("include", none, options.patterns, typed.include),
        "exclude": found.checked("exclude", none, options.patterns, typed.exclude),
        "min_age": found.checked("min_age", None, options.age, typed.min_age),
        "max_size": found.checked("max_size", None, options.size, typed.max_size),
    }


def _verify(wanted: bool, operation: str) -> bool:
    if wanted and operation == Operation.MOVE:
        raise _Refused("A move leaves nothing at the source to compare with.")
    return wanted and operation != Operation.CHECK


def _number(text: str, usual: int, least: int, most: int) -> int:
    return options.number(text, least, most) if text.strip() else usual


def _name(text: str) -> str:
    text = text.strip()
    if not text:
        raise _Refused("Give the transfer a name.")
    if len(text) > NAME_LENGTH:
        raise _Refused(f"Use at most {NAME_LENGTH} characters.")
    if not is_name(text):
        # Anything else would break a list or a log.
        raise _Refused("Leave out line breaks and control characters.")
    return text


def _operation(text: str) -> str:
    if text not in tuple(Operation):
        raise _Refused("Choose copy, sync, move or check.")
    return text


def _pool(text: str, pools: Collection[str]) -> str | None:
    if text in ("", DEFAULT_POOL):
        return None
    if text not in pools:
        raise _Refused("No worker serves this pool. Choose one of those that are offered.")
    return text


def _place(text: str, roots: Sequence[Path], remotes: Mapping[str, int], missing: str) -> Location:
    if not text:
        raise _Refused(missing)
    try:
        found = locate(text, roots, remotes)
    except PathRefused as refused:
        raise _Refused(str(refused)) from None
    try:
        found.text.encode()
    except UnicodeEncodeError:
        # Typed as text, it led through a link to a name that is none. No row can hold it.
        raise _Refused("This leads to a folder whose name is not UTF-8 text.") from None
    return found
