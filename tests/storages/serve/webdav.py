"""A server of WebDAV: `webdav.py PORT FOLDER USER PASSWORD`, by wsgidav and cheroot.

Run by the Python of the storages' environment.
"""

from __future__ import annotations

import sys

from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp


def serve(port: int, folder: str, user: str, password: str) -> None:
    application = WsgiDAVApp(
        {
            "provider_mapping": {"/": folder},
            "simple_dc": {"user_mapping": {"*": {user: {"password": password}}}},
            "http_authenticator": {"accept_basic": True, "accept_digest": False},
            "verbose": 0,
            "logging": {"enable": False},
        }
    )
    Server(("127.0.0.1", port), application, numthreads=10).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]), *sys.argv[2:5])
