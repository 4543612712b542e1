"""The options of a transfer, each declared once.

The form, the API, the pages and the stored row are made from these declarations;
``engine/order/flags.py`` says what an option means to rclone. The rules are stricter than rclone's:
what is accepted here is accepted there, and means the same. ``docs/extending.md`` shows how to add
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from portal.transfers.option_kinds import Age, Flag, Kind, Number, Patterns, Size
from portal.transfers.states import Operation

MAX_TRANSFERS = 32
MAX_RETRIES = 10


@dataclass(frozen=True, slots=True)
class Option:
    """``label`` and ``help`` are shown in the form, ``description`` in the API. ``shown`` precedes
    the value on the job's page; None: the label does; empty: the page shows the value in another
    way."""

    name: str
    default: Any
    kind: Kind
    label: str
    help: str
    description: str
    shown: str | None = None

    @property
    def is_filter(self) -> bool:
        """Whether it leaves files out."""
        return isinstance(self.kind, Patterns | Age | Size)

    def parse(self, raw: Any, operation: str) -> Any:
        """Returns the value; ``raw`` None stands for the default. Raises InvalidOption."""
        return self.kind.parse(raw, operation, self.default)


def _option(default: Any, kind: Kind, **texts: Any) -> Any:
    """``texts``: see ``Option``."""
    return field(default=default, metadata={"kind": kind, "texts": texts})


@dataclass(frozen=True, slots=True)
class Options:
    """``min_age`` in seconds, ``max_size`` in bytes, both None for no limit."""

    include: tuple[str, ...] = _option(
        (),
        Patterns(),
        label="Include",
        help="One pattern per line, such as *.jpg, photos/** or /top.txt. Leave empty for all"
        " files.",
        description="Patterns such as *.jpg or photos/**: only files that one of them matches."
        " Without any: all files.",
    )
    exclude: tuple[str, ...] = _option(
        (),
        Patterns(),
        label="Exclude",
        help="One pattern per line, such as *.tmp or cache/. Exclude wins over include.",
        description="Patterns such as *.tmp or cache/: files to leave out. They win over include.",
    )
    min_age: int | None = _option(
        None,
        Age(),
        label="Minimum age",
        help="30min, 12h, 7d or 4w: skips files that are still being written. Not for a sync.",
        description="Only files older than this: 30min, 12h, 7d or 4w. A sync of a folder fails"
        " with it, since it would delete the copies of younger files.",
    )
    max_size: int | None = _option(
        None,
        Size(),
        label="Maximum size",
        help="Skips larger files. 500M is 500 MiB, 500MB is 500 million bytes. Not for a sync.",
        description="Only files up to this size: 500M is 500 MiB, 500MB is 500 million bytes. A"
        " sync of a folder fails with it, since it would delete the copies of larger files.",
    )
    checksum: bool = _option(
        False,
        Flag(),
        label="Compare by checksum",
        help="Reads every file on both sides instead of trusting its time and size. Slower.",
        description="Compare files by checksum instead of by time and size.",
        shown="",
    )
    verify: bool = _option(
        False,
        Flag(
            operations=frozenset({Operation.COPY, Operation.SYNC}),
            refused={Operation.MOVE: "A move leaves nothing at the source to compare."},
        ),
        label="Verify after the copy",
        help="Compares both sides after copying, and fails if they differ.",
        description="Compare both sides when all is copied; fail if they differ. Not of a move.",
        shown="Verified after the copy",
    )
    #: Whether a source without a file may empty the destination.
    allow_empty_source: bool = _option(
        False,
        Flag(operations=frozenset({Operation.SYNC}), words="may empty the destination"),
        label="Allow an empty source",
        help="For a sync: an empty source then empties the destination instead of being treated as"
        " a mistake.",
        description="Of a sync: a source without a single file may empty the destination. Without"
        " it such a sync fails before anything is deleted.",
        shown="An empty source",
    )
    transfers: int = _option(
        4,
        Number(1, MAX_TRANSFERS),
        label="Parallel files",
        help=f"1 to {MAX_TRANSFERS}. More helps with many small files.",
        description="Parallel files.",
    )
    #: How often rclone is begun again after an error that may pass.
    retries: int = _option(
        2,
        Number(0, MAX_RETRIES),
        label="Retries after temporary errors",
        help=f"0 to {MAX_RETRIES}. The wait doubles each time, starting at 5 s.",
        description="How often it retries after a temporary error.",
        shown="Retries",
    )
    #: The time zone of a timetable of the bandwidth. Nobody types it: it is the owner's.
    timezone: str = "UTC"

    @property
    def filters(self) -> bool:
        """Whether some files may be left out."""
        return any(getattr(self, option.name) for option in OPTIONS if option.is_filter)

    def to_json(self) -> dict[str, Any]:
        """For a JSON column: the values that differ from the defaults."""
        defaults = asdict(DEFAULTS)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value != defaults[name]
        }


OPTIONS: tuple[Option, ...] = tuple(
    Option(one.name, one.default, one.metadata["kind"], **one.metadata["texts"])
    for one in fields(Options)
    if one.metadata
)
DEFAULTS = Options()


def from_json(stored: Mapping[str, Any] | None) -> Options:
    """The options that ``to_json`` gave. A field that no longer exists is left out."""
    known = {one.name for one in fields(Options)}
    values = {name: value for name, value in (stored or {}).items() if name in known}
    for name in ("include", "exclude"):
        values[name] = tuple(values.get(name) or ())
    return Options(**values)
