"""Validates a transfer: one set of rules for the form and for the API."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from portal.errors import Invalid
from portal.transfers import bandwidth
from portal.transfers.bandwidth import InvalidBandwidth
from portal.transfers.local_paths import PathRefused, Roots
from portal.transfers.locations import Location, locate, overlap
from portal.transfers.names import is_name
from portal.transfers.option_kinds import InvalidOption
from portal.transfers.options import OPTIONS, Options
from portal.transfers.pools import DEFAULT_POOL
from portal.transfers.request import Transfer
from portal.transfers.states import Operation

NAME_LENGTH = 200
BANDWIDTH_LENGTH = bandwidth.LENGTH

T = TypeVar("T")


#: Options as they were typed or sent; one that is missing has its default.
RawOptions = Mapping[str, Any]
_NO_OPTIONS: RawOptions = MappingProxyType({})


class _Refused(Exception):
    """A sentence for the person who typed the field."""


class FieldErrors:
    """Collects each error beside its field."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def check(self, field: str, otherwise: T, rule: Callable[..., T], *values: object) -> T:
        """What the rule returns; after an error, ``otherwise``."""
        try:
            return rule(*values)
        except (_Refused, InvalidOption, InvalidBandwidth) as refused:
            self.errors[field] = str(refused)
            return otherwise


def validate_transfer(
    *,
    name: str,
    operation: str,
    source: str,
    destination: str,
    bandwidth_limit: str,
    dry_run: bool,
    roots: Roots,
    remotes: Mapping[str, int],
    raw: RawOptions = _NO_OPTIONS,
    timezone: str = "UTC",
    pool: str = "",
    pools: Collection[str] = (),
) -> Transfer:
    """The transfer that was asked for, with paths resolved. Raises Invalid with all errors at once.
    ``remotes``: name → id of the remotes that the person may use; ``timezone``: the person's;
    ``pools``: the existing pools besides the default one."""
    found = FieldErrors()
    title = found.check("name", "", _name, name)
    wanted = found.check("operation", "", _operation, operation)
    none, places = Location(""), (roots, remotes)
    begin = found.check("source", none, _place, source, *places, "Enter a source.")
    end = found.check("destination", none, _place, destination, *places, "Enter a destination.")
    limit = found.check("bandwidth_limit", None, bandwidth.parse, bandwidth_limit)
    has_timetable = limit is not None and not limit.constant
    chosen = _options(found, raw, wanted)
    workers = found.check("pool", None, _pool, pool, pools)
    if begin.text and end.text and overlap(begin.text, end.text):
        found.errors["destination"] = "One folder is inside the other."
    if found.errors:
        raise Invalid(found.errors)
    return Transfer(
        title,
        Operation(wanted),
        begin.text,
        end.text,
        str(limit) if limit else None,
        dry_run,
        options=Options(**chosen, timezone=timezone if has_timetable else "UTC"),
        source_remote_id=begin.remote_id,
        destination_remote_id=end.remote_id,
        pool=workers,
    )


def validate_selection(
    source: str, raw: RawOptions, *, roots: Roots, remotes: Mapping[str, int]
) -> tuple[Location, Options]:
    """The source and the filters, for a preview. Raises Invalid as above."""
    found = FieldErrors()
    begin = found.check("source", Location(""), _place, source, roots, remotes, "Enter a source.")
    chosen = Options(**_options(found, raw, only_filters=True))
    if found.errors:
        raise Invalid(found.errors)
    return begin, chosen


def validate_bandwidth(text: str) -> str | None:
    """A limit as it is stored, None for none. Raises Invalid."""
    try:
        limit = bandwidth.parse(text)
    except InvalidBandwidth as refused:
        raise Invalid({"bandwidth_limit": str(refused)}) from None
    return str(limit) if limit else None


def _options(
    found: FieldErrors, raw: RawOptions, operation: str = "", *, only_filters: bool = False
) -> dict[str, Any]:
    return {
        option.name: found.check(
            option.name, option.default, option.parse, raw.get(option.name), operation
        )
        for option in OPTIONS
        if option.is_filter or not only_filters
    }


def _name(text: str) -> str:
    text = text.strip()
    if not text:
        raise _Refused("Enter a name.")
    if len(text) > NAME_LENGTH:
        raise _Refused(f"Use at most {NAME_LENGTH} characters.")
    if not is_name(text):
        # Others would break a list or a log.
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
        raise _Refused("No worker serves this pool. Choose one from the list.")
    return text


def _place(text: str, roots: Roots, remotes: Mapping[str, int], missing: str) -> Location:
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
        raise _Refused("This leads to a folder whose name is not valid UTF-8.") from None
    return found
