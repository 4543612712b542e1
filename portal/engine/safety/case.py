"""Whether a place takes names that differ only by case, or by the form of an accent, for one."""

from __future__ import annotations

import fcntl
import os
import secrets
import struct
import time
from contextlib import suppress
from pathlib import Path

from portal.engine.markers import PREFIX
from portal.engine.safety import places

_WITHOUT_CASE = frozenset({"vfat", "msdos", "exfat", "hfs", "hfsplus"})
#: A folder of these ignores case only where it is marked so, which can be read.
_WITH_CASE = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "f2fs", "overlay", "zfs", "ramfs", "bcachefs"}
)
#: Storages of objects, to which a name is a row of bytes. Of servers with a disk nobody knows.
_OF_OBJECTS = frozenset({"s3", "azureblob", "google cloud storage", "b2"})
_GET_FLAGS = 0x80086601
_CASEFOLD = 0x40000000
#: Looks at a new file, of which so many have to see it; and seconds between two of them.
_LOOKS, _CERTAIN, _PAUSE = 20, 3, 0.01


def folds_case(folder: str, *, may_write: bool) -> bool:
    """``folder`` exists. If neither the file system nor a mark of the folder says, a file is made
    and looked up by another name, if that is allowed."""
    kind = places.kind_of_local(folder)
    if kind in _WITHOUT_CASE:
        return True
    if kind in _WITH_CASE:
        return _is_marked(folder)
    return may_write and _tried(folder)


def keeps_forms(backend: str) -> bool:
    """As ``keeps_accents``, of a storage of this kind."""
    return backend in _OF_OBJECTS


def keeps_accents(folder: str) -> bool:
    """True if names that differ only by the form of an accent certainly are two names there."""
    return places.kind_of_local(folder) in _WITH_CASE and not _is_marked(folder)


def _is_marked(folder: str) -> bool:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = fcntl.ioctl(handle, _GET_FLAGS, struct.pack("l", 0))
    except OSError:
        return False
    finally:
        os.close(handle)
    return bool(struct.unpack("l", flags)[0] & _CASEFOLD)


def _has_another_name(path: Path, other: Path) -> bool:
    """Some disks, such as one that a program shows, lose sight of a new file for a moment: what
    does not show the file by its own name has not shown that it has no other one."""
    certain = 0
    for _ in range(_LOOKS):
        before = os.path.lexists(path)
        if os.path.lexists(other):
            return True
        certain += before and os.path.lexists(path)
        if certain == _CERTAIN:
            return False
        time.sleep(_PAUSE)
    return True


def _tried(folder: str) -> bool:
    number = secrets.token_hex(8)
    path = Path(folder, f"{PREFIX}{number}")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False  # then the transfer cannot write there either
    try:
        return _has_another_name(path, Path(folder, f"{PREFIX.upper()}{number}"))
    finally:
        with suppress(OSError):
            path.unlink()
