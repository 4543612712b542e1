"""Decides how two files are judged equal: by something that can tell, or by their bytes.

rclone takes files of one size for equal where nothing better is common to both storages. A copy
then skips a changed file, and a move deletes it: the only copy of the new content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from portal.transfers.options import Options

HASH = "hash"
SIZE_AND_TIME = "size_and_time"
#: The same, of a storage that keeps whole seconds: two versions of one second are one to it.
SIZE_AND_SECOND = "size_and_second"
BYTES = "bytes"

#: Nanoseconds. A storage that rounds times more than this cannot tell two versions of one second.
FINE_PRECISION = 10_000_000
#: A storage that keeps no times says one hundred years.
_NO_TIMES = 10**15
#: These count the hash from the content when asked. The others look it up, and some objects (those
#: that another program sent in parts) have none: rclone then silently compares sizes alone.
_COUNTED = frozenset({"local", "sftp"})


@dataclass(frozen=True, slots=True)
class Storage:
    """rclone's knowledge of one end. ``precision`` of its times in nanoseconds."""

    kind: str
    hashes: frozenset[str]
    precision: int
    ignores_case: bool = False
    bucket_based: bool = False

    @property
    def always_hashed(self) -> bool:
        return self.kind in _COUNTED


#: rclone is not asked about folders of this machine: it would say this.
LOCAL = Storage(
    "local",
    frozenset(
        {
            "md5", "sha1", "whirlpool", "crc32", "sha256", "sha512", "blake3", "xxh3", "xxh128",
            "dropbox", "hidrive", "mailru", "quickxor",
        }
    ),
    1,
)  # fmt: skip


def storage(kind: str, answer: Mapping[str, Any]) -> Storage:
    """Reads the answer of ``operations/fsinfo``. A feature that is not in it counts as missing."""
    features = answer.get("Features") or {}
    precision = answer.get("Precision")
    return Storage(
        kind,
        frozenset(answer.get("Hashes") or ()),
        precision if isinstance(precision, int) else _NO_TIMES,
        ignores_case=bool(features.get("CaseInsensitive")),
        bucket_based=bool(features.get("BucketBased")),
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """``flags`` for rclone. ``every_byte``: files that are there already are written once more.
    ``names_unhashed``: some files may have no hash, and rclone has to name them. ``needs_hashes``:
    where it names one, ``SEND_ALL`` takes the place of this."""

    by: str
    flags: tuple[str, ...] = ()
    every_byte: bool = False
    names_unhashed: bool = False
    needs_hashes: bool = False


_BY_HASH = Comparison(HASH, ("--checksum",))
_BY_HASH_WHERE_KNOWN = Comparison(HASH, ("--checksum",), names_unhashed=True)
_BY_HASH_OF_EACH = replace(_BY_HASH_WHERE_KNOWN, needs_hashes=True)
_BY_SIZE_AND_TIME = Comparison(SIZE_AND_TIME)
_BY_SIZE_AND_SECOND = Comparison(SIZE_AND_SECOND)
SEND_ALL = Comparison(BYTES, ("--ignore-times",), every_byte=True)


def choose(operation: str, options: Options, source: Storage, destination: Storage) -> Comparison:
    hashes = bool(source.hashes & destination.hashes)
    counted = hashes and source.always_hashed and destination.always_hashed
    precision = max(source.precision, destination.precision)
    if operation == "check":
        return Comparison(HASH) if hashes else Comparison(BYTES, ("--download",))
    if operation == "move":
        # A source is deleted because of this comparison, so times are not enough: some programs
        # change a file and set its time back.
        if counted:
            return _BY_HASH
        return _BY_HASH_OF_EACH if hashes and precision <= FINE_PRECISION else SEND_ALL
    if options.checksum:
        if hashes:
            return _BY_HASH if counted else _BY_HASH_WHERE_KNOWN
        return SEND_ALL
    if precision < _NO_TIMES:
        return _BY_SIZE_AND_TIME if precision <= FINE_PRECISION else _BY_SIZE_AND_SECOND
    return _BY_HASH if counted else SEND_ALL
