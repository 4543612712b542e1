"""A server of FTP: `ftp.py PORT FOLDER USER PASSWORD [--without COMMAND] [--certificate FILE]`.

With a certificate nobody gets in without explicit TLS. Of a folder that is missing it says 550 as
others do, unless it is told to be ``--as-it-is``: pyftpdlib's own 501 is taken for a wrong command.
Run by the Python of the storages' environment.
"""

from __future__ import annotations

import argparse
from typing import Any

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import ThreadedFTPServer


def list_or_miss(handler: Any, path: str) -> Any:
    if handler.fs.isdir(path):
        return FTPHandler.ftp_MLSD(handler, path)
    return handler.respond("550 No such directory.")


def serve() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("user")
    parser.add_argument("password")
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--certificate")
    parser.add_argument("--as-it-is", action="store_true")
    given = parser.parse_args()
    authorizer = DummyAuthorizer()
    authorizer.add_user(given.user, given.password, given.folder, perm="elradfmwMT")
    base = TLS_FTPHandler if given.certificate else FTPHandler
    known = {
        command: about for command, about in base.proto_cmds.items() if command not in given.without
    }
    more = {"authorizer": authorizer, "proto_cmds": known, "auth_failed_timeout": 0.1}
    if not given.as_it_is:
        more["ftp_MLSD"] = list_or_miss
    if given.certificate:
        more |= {
            "certfile": given.certificate,
            "tls_control_required": True,
            "tls_data_required": True,
        }
    ThreadedFTPServer(("127.0.0.1", given.port), type("Handler", (base,), more)).serve_forever()


if __name__ == "__main__":
    serve()
