"""A server of SMB: impacket's, with those answers mended that no other server gives.

Run by the Python of the storages' environment: `smb.py PORT FOLDER USER PASSWORD`. Mended are how
it fails (codes and forms of errors), times (whole seconds, and the wrong one of them), the length
of files, and the answer to a farewell. How files are written and read is impacket's own.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from impacket import nt_errors, smb, smbserver
from impacket import smb3structs as smb2
from impacket.ntlm import compute_lmhash, compute_nthash
from impacket.smbserver import SimpleSMBServer, SMB2Commands

SHARE = "SHARE"

_create = SMB2Commands.smb2Create
_connect = SMB2Commands.smb2TreeConnect
_set_info = SMB2Commands.smb2SetInfo
_EPOCH = 116_444_736_000_000_000


def _path(server: Any, connection: Any, packet: Any) -> Path:
    data = server.getConnectionData(connection)
    share = data["ConnectedShares"].get(packet["TreeID"], {}).get("path", "")
    request = smb2.SMB2Create(packet["Data"])
    name = request["Buffer"][: request["NameLength"]].decode("utf-16le").replace("\\", "/")
    return Path(share) / name.lstrip("/")


def create(connection: Any, server: Any, packet: Any) -> Any:
    """Samba and Windows tell apart that a file or the folder above it is missing; impacket says of
    the first what no client expects, and of the second that access is denied."""
    answers, packets, code = _create(connection, server, packet)
    if code == nt_errors.STATUS_NO_SUCH_FILE:
        code = nt_errors.STATUS_OBJECT_NAME_NOT_FOUND
    denied = code == nt_errors.STATUS_ACCESS_DENIED
    if denied and not _path(server, connection, packet).parent.is_dir():
        code = nt_errors.STATUS_OBJECT_PATH_NOT_FOUND
    return answers, packets, code


def set_info(connection: Any, server: Any, packet: Any) -> Any:
    """impacket takes the time of last writing for that of last access, and lengthens a file by
    writing a zero into it."""
    request = smb2.SMB2SetInfo(packet["Data"])
    opened = server.getConnectionData(connection)["OpenedFiles"]
    file = opened.get(request["FileID"].getData())
    if file is None or request["InfoType"] != smb2.SMB2_0_INFO_FILE:
        return _set_info(connection, server, packet)
    if request["FileInfoClass"] == smb2.SMB2_FILE_BASIC_INFO:
        written = smb.SMBSetFileBasicInfo(request["Buffer"])["LastWriteTime"]
        if written:
            moment = (written - _EPOCH) * 100
            os.utime(file["FileName"], ns=(moment, moment))
        return [smb2.SMB2SetInfo_Response()], None, nt_errors.STATUS_SUCCESS
    if request["FileInfoClass"] == smb2.SMB2_FILE_END_OF_FILE_INFO:
        length = smb.SMBSetFileEndOfFileInfo(request["Buffer"])["EndOfFile"]
        os.ftruncate(file["FileHandle"], length)
        return [smb2.SMB2SetInfo_Response()], None, nt_errors.STATUS_SUCCESS
    return _set_info(connection, server, packet)


def stat(path: str) -> tuple[Any, ...]:
    """impacket tells whole seconds; real servers tell tenths of a microsecond."""
    found = Path(path).stat()
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return (*found[:7], *(Fraction(moment, 10**9) for moment in times))


def log_off(connection: Any, server: Any, packet: Any) -> Any:
    """impacket forgets the session before it answers within it, so that the client waits."""
    return [smb2.SMB2Logoff_Response()], None, nt_errors.STATUS_SUCCESS


def connect(connection: Any, server: Any, packet: Any) -> Any:
    """Of a share that does not exist."""
    answers, packets, code = _connect(connection, server, packet)
    if code == nt_errors.STATUS_OBJECT_PATH_NOT_FOUND:
        code = nt_errors.STATUS_BAD_NETWORK_NAME
    return answers, packets, code


def well_formed(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same, but an error has the form of one."""

    def answer(connection: Any, server: Any, packet: Any) -> Any:
        answers, packets, code = command(connection, server, packet)
        if code in (nt_errors.STATUS_SUCCESS, nt_errors.STATUS_MORE_PROCESSING_REQUIRED):
            return answers, packets, code
        return [smb2.SMB2Error()], packets, code

    return answer


def serve(port: int, folder: str, user: str, password: str) -> None:
    smbserver.os = SimpleNamespace(**{**vars(os), "stat": stat})
    server = SimpleSMBServer("127.0.0.1", port)
    server.addShare(SHARE, folder, "A share")
    server.setSMB2Support(True)
    server.addCredential(user, 0, compute_lmhash(password), compute_nthash(password))
    inner = server._SimpleSMBServer__server
    for command, answer in (
        (smb2.SMB2_CREATE, create),
        (smb2.SMB2_LOGOFF, log_off),
        (smb2.SMB2_QUERY_DIRECTORY, SMB2Commands.smb2QueryDirectory),
        (smb2.SMB2_READ, SMB2Commands.smb2Read),
        (smb2.SMB2_SESSION_SETUP, SMB2Commands.smb2SessionSetup),
        (smb2.SMB2_SET_INFO, set_info),
        (smb2.SMB2_TREE_CONNECT, connect),
    ):
        inner.hookSmb2Command(command, well_formed(answer))
    with contextlib.suppress(KeyboardInterrupt):
        server.start()


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:5])
