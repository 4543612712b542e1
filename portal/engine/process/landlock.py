"""Landlock, by which a process takes rights from itself and from all that it starts, for good:
three system calls of Linux 5.13 and later, which need no privilege. See landlock(7)."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from enum import IntFlag
from functools import cache

# The same on every architecture, since they came after the numbers were unified.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
#: No signal to a process, and no abstract socket, outside; of version 6.
_SCOPES, _SCOPED_SINCE = 0b11, 6
#: Neither binding nor connecting by TCP; of version 4.
_TCP, _TCP_SINCE = 0b11, 4


class Access(IntFlag):
    """Rights below a folder, or on a file."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    #: Renaming from one folder to another; of version 2. Before it that is always refused, as
    #: between two disks.
    REFER = 1 << 13
    #: From version 3 on; older kernels do not restrict it.
    TRUNCATE = 1 << 14
    #: From version 5 on.
    IOCTL_DEV = 1 << 15


_SINCE = {2: Access.REFER, 3: Access.TRUNCATE, 5: Access.IOCTL_DEV}
_OF_FILES = (
    Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


_libc = ctypes.CDLL(None, use_errno=True)


@cache
def version() -> int:
    """The version of the kernel's Landlock; 0 if it has none, or it is switched off or
    forbidden."""
    try:
        return _call(_CREATE, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def _handled(known: int) -> Access:
    handled = Access(0)
    for access in Access:
        since = next((number for number, one in _SINCE.items() if one is access), 1)
        if known >= since:
            handled |= access
    return handled


class Ruleset:
    """A set of rules. Everything that Landlock knows and that is not allowed here is forbidden.
    Raises OSError if the kernel has no Landlock."""

    def __init__(self, *, network: bool) -> None:
        """Without ``network``, TCP is forbidden, if the kernel can do that."""
        known = version()
        self._handled = _handled(known)
        wanted = _Ruleset(
            int(self._handled),
            0 if network or known < _TCP_SINCE else _TCP,
            _SCOPES if known >= _SCOPED_SINCE else 0,
        )
        size = 8 if known < _TCP_SINCE else 16 if known < _SCOPED_SINCE else 24
        self._handle = _call(_CREATE, ctypes.byref(wanted), size, 0)

    def allow(self, handle: int, access: Access) -> None:
        """Allows access to an open file or folder and everything below it."""
        allowed = access & self._handled
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            allowed &= _OF_FILES
        if allowed:
            rule = _PathBeneath(int(allowed), handle)
            _call(_ADD_RULE, self._handle, _PATH_BENEATH, ctypes.byref(rule), 0)

    def allow_path(self, path: str, access: Access) -> None:
        """Allows access to a path and follows links. A path that does not exist is ignored."""
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        try:
            self.allow(handle, access)
        finally:
            os.close(handle)

    def restrict_this_thread(self) -> None:
        """Restricts this thread and everything it starts from now on, for good. Other threads of
        the process are left alone."""
        if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs")
        _call(_RESTRICT, self._handle, 0)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *map(_argument, arguments))
    if result < 0:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, os.strerror(code))
    return int(result)


def _argument(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value
