"""The way out of an rclone that may not reach this machine: real connections, a real rclone.

127.0.0.9 stands for a server elsewhere here, and every other address of this machine for itself.
"""

from __future__ import annotations

import errno
import http.server
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from portal.engine import Remote, Run, TransferOrder, list_folder, rclone_path
from portal.engine.process import egress_proxy
from portal.engine.process.egress_proxy import EgressProxy
from portal.engine.process.processes import inspect, pids
from portal.remotes.obscure import obscure
from tests.support.scripts import python_program
from tests.support.waiting import wait_for

ELSEWHERE = "127.0.0.9"
SECRET = b"sesame"


def refused(address: Any) -> bool:
    return str(address) != ELSEWHERE and egress_proxy.is_local(address)


@pytest.fixture
def way() -> Iterator[EgressProxy]:
    opened = EgressProxy(SECRET, refused)
    threading.Thread(target=opened.serve, daemon=True).start()
    yield opened
    opened.listener.close()


@pytest.fixture
def server() -> Iterator[Callable[..., Any]]:
    """Answers each request with a redirect to ``to``; ``heard`` are their methods."""
    running: list[Any] = []

    def start(host: str, to: str) -> Any:
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                made.heard.append(self.command)
                self.send_response(302)
                self.send_header("Location", to)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PROPFIND = do_HEAD = answer  # noqa: N815 - names of the library's

            def log_message(self, *_told: Any) -> None:
                pass

        made: Any = http.server.ThreadingHTTPServer((host, 0), Handler)
        made.heard = []
        running.append(made)
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        return made

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def ask(port: int, host: str, to: int, secret: bytes = SECRET) -> tuple[int, socket.socket]:
    """The proxy's answer, and the connection."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(b"\x05\x01\x02\x01\x06portal" + bytes([len(secret)]) + secret)
    told = b""
    while len(told) < 4 and (part := client.recv(4 - len(told))):
        told += part
    if told != b"\x05\x02\x01\x00":
        client.close()
        return -1, client
    name = host.encode()
    client.sendall(b"\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack("!H", to))
    return client.recv(10)[1], client


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server elsewhere that sends back what it hears, and then closes."""
    listener = socket.create_server((ELSEWHERE, 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            while told := client.recv(65536):
                client.sendall(told)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


# --- as a proxy ---------------------------------------------------------------------------------


def test_bytes_go_both_ways_until_the_end(way: EgressProxy, echo: int) -> None:
    answer, client = ask(way.port, ELSEWHERE, echo)
    assert answer == 0
    sent = os.urandom(3_000_000)
    threading.Thread(
        target=lambda: (client.sendall(sent), client.shutdown(socket.SHUT_WR)), daemon=True
    ).start()
    heard = b""
    with closing(client):
        while part := client.recv(65536):
            heard += part
    assert heard == sent


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "localhost.", "127.1", "2130706433", "0x7f000001"),
        *("0177.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254"),  # noqa: S104
        *("::ffff:a9fe:a9fe", "fd00:ec2::254", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_however_this_machine_is_written_it_is_refused(way: EgressProxy, host: str) -> None:
    answer, client = ask(way.port, host, way.port)
    client.close()
    assert answer == 2


def test_name_is_looked_up_once_and_what_was_looked_at_is_where_it_goes(
    way: EgressProxy, echo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns a name can let it lead elsewhere the first time, and here the second."""
    told = [ELSEWHERE, "127.0.0.1"]
    real = socket.getaddrinfo

    def resolved(host: Any, *more: Any, **named: Any) -> Any:
        return real(told.pop(0) if host == "twice.example" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    for expected in (0, 2):
        answer, client = ask(way.port, "twice.example", echo)
        client.close()
        assert answer == expected


def test_stranger_gets_nothing(way: EgressProxy, echo: int) -> None:
    assert ask(way.port, ELSEWHERE, echo, secret=b"wrong")[0] == -1
    with closing(socket.create_connection(("127.0.0.1", way.port), 10)) as client:
        client.sendall(b"\x05\x01\x00")  # without a secret at all
        assert client.recv(10) == b"\x05\xff"
        assert client.recv(10) == b""


def test_closed_port_and_unknown_name_are_told_apart(way: EgressProxy) -> None:
    with closing(socket.create_server((ELSEWHERE, 0))) as listener:
        port = listener.getsockname()[1]
    for host, expected in ((ELSEWHERE, 5), ("no-such-name.invalid", 4)):
        answer, client = ask(way.port, host, port)
        client.close()
        assert answer == expected


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"\x05\x01\x00\x01" + bytes([127, 0, 0, 1, 0, 80]), 2),  # this machine, by IPv4
        (b"\x05\x01\x00\x04" + bytes([*[0] * 15, 1, 0, 80]), 2),  # and by IPv6
        (b"\x05\x02\x00\x01", 7),  # to listen for others
        (b"\x05\x01\x00\x05", 7),  # an address of no kind
    ],
)
def test_request_is_answered_by_the_number_of_what_is_wrong(
    way: EgressProxy, request_bytes: bytes, expected: int
) -> None:
    with closing(socket.create_connection(("127.0.0.1", way.port), 10)) as client:
        client.sendall(b"\x05\x01\x02\x01\x06portal" + bytes([len(SECRET)]) + SECRET)
        assert client.recv(2, socket.MSG_WAITALL) + client.recv(2, socket.MSG_WAITALL) == (
            b"\x05\x02\x01\x00"
        )
        client.sendall(request_bytes)
        assert client.recv(10, socket.MSG_WAITALL)[:2] == bytes([5, expected])


def test_client_that_leaves_in_the_middle_disturbs_no_other(way: EgressProxy, echo: int) -> None:
    for part in (b"\x05", b"\x05\x01\x02\x01\x06por"):
        with closing(socket.create_connection(("127.0.0.1", way.port), 10)) as client:
            client.sendall(part)
    answer, client = ask(way.port, ELSEWHERE, echo)
    client.close()
    assert answer == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), 6),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), 3),
        (ConnectionRefusedError(), 5),
    ],
)
def test_reason_why_nobody_answers_is_told(
    way: EgressProxy, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: int
) -> None:
    monkeypatch.setattr(egress_proxy.socket, "create_connection", Mock(side_effect=error))
    with pytest.raises(egress_proxy.SocksError) as refusal:
        way._connect(ELSEWHERE, 80)
    assert refusal.value.answer == expected


def test_connection_that_breaks_on_one_side_is_ended_on_the_other(way: EgressProxy) -> None:
    with closing(socket.create_server((ELSEWHERE, 0))) as listener:
        answer, client = ask(way.port, ELSEWHERE, listener.getsockname()[1])
        server, _ = listener.accept()
    assert answer == 0
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()  # by a reset
    client.settimeout(10)
    with closing(client), suppress(ConnectionResetError):
        assert client.recv(10) == b""


def test_proxy_ends_with_its_listener() -> None:
    made = EgressProxy(SECRET, refused)
    serving = threading.Thread(target=made.serve)
    serving.start()
    made.listener.shutdown(socket.SHUT_RDWR)
    serving.join(10)
    assert not serving.is_alive()
    made.listener.close()


# --- around a program ---------------------------------------------------------------------------


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """``main`` goes on as the process that becomes the program; ``parent`` is called for that."""
    made = Mock()
    monkeypatch.setattr(egress_proxy.os, "fork", lambda: 4711)
    monkeypatch.setattr(egress_proxy.os, "execve", made)
    return made


def test_program_is_told_the_way_and_a_secret_of_its_own(parent: Mock) -> None:
    told = []
    for _ in range(2):
        egress_proxy.main(["/bin/program", "an argument"])
        program, command, environment = parent.call_args.args
        assert (program, command) == ("/bin/program", ["/bin/program", "an argument"])
        assert environment.items() >= {"PATH": os.environ["PATH"]}.items()
        told.append(environment["RCLONE_SFTP_SOCKS_PROXY"])
        assert environment["RCLONE_HTTP_PROXY"] == f"socks5://{told[-1]}"
    (first, second) = (address.partition("@")[0] for address in told)
    assert first != second
    with pytest.raises(ConnectionRefusedError):  # the port is the child's alone
        socket.create_connection(("127.0.0.1", int(told[-1].rpartition(":")[2])), 10)


def test_program_that_cannot_become_one_is_said(parent: Mock) -> None:
    parent.side_effect = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(SystemExit, match="/bin/program cannot be started: Permission denied"):
        egress_proxy.main(["/bin/program"])


class Ended(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("ended", ["long ago", "just now"])
def test_proxy_whose_program_has_ended_already_ends_at_once(
    way: EgressProxy, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """It lets go of the program's pipes, and no signal that is meant for both ends it earlier."""
    ignored, let_go, left = Mock(), Mock(), Mock(side_effect=Ended)
    monkeypatch.setattr(egress_proxy.signal, "signal", ignored)
    monkeypatch.setattr(egress_proxy.os, "dup2", let_go)
    monkeypatch.setattr(egress_proxy.os, "_exit", left)
    parent = os.getpid()  # not the parent of this process, as of one whose parent has ended
    if ended == "long ago":
        monkeypatch.setattr(egress_proxy.os, "pidfd_open", Mock(side_effect=ProcessLookupError))
    with pytest.raises(Ended):
        egress_proxy._serve_until_exit(way, parent)
    left.assert_called_once_with(0)
    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    assert ignored.mock_calls == [call(number, signal.SIG_IGN) for number in stops]
    (nothing,) = {of for of, _ in (one.args for one in let_go.mock_calls)}
    assert Path(f"/proc/self/fd/{nothing}").readlink() == Path(os.devnull)
    assert [stream for _, stream in (one.args for one in let_go.mock_calls)] == [0, 1, 2]
    os.close(nothing)


# --- before a real rclone -----------------------------------------------------------------------


@pytest.mark.parametrize("through", [True, False])
def test_redirect_of_a_storage_to_this_machine_is_not_followed(
    way: EgressProxy, server: Callable[..., Any], through: bool
) -> None:
    """Without the proxy it is, which shows that this test can fail."""
    inside = server("127.0.0.1", "/")
    storage = server(ELSEWHERE, f"http://127.0.0.1:{inside.server_port}/latest/meta-data")
    told = {
        "PATH": os.environ["PATH"],
        "RCLONE_CONFIG_THERE_TYPE": "webdav",
        "RCLONE_CONFIG_THERE_URL": f"http://{ELSEWHERE}:{storage.server_port}",
        **(egress_proxy.variables(way.port, SECRET) if through else {}),
    }
    command = [rclone_path(None), "lsjson", "--config", "", "--low-level-retries=1", "there:"]
    done = subprocess.run(command, env=told, capture_output=True, text=True)
    assert done.returncode != 0, done.stderr
    assert storage.heard, done.stderr
    assert bool(inside.heard) is not through
    assert ("not allowed by ruleset" in done.stderr) is through


@pytest.mark.parametrize(
    ("backend", "parameters"),
    [
        ("s3", {"provider": "Other", "endpoint": "http://localhost:{port}"}),
        ("webdav", {"url": "http://localhost:{port}"}),
        ("sftp", {"host": "localhost", "port": "{port}", "user": "bob", "pass": obscure("x")}),
        ("ftp", {"host": "localhost", "port": "{port}", "user": "bob", "pass": obscure("x")}),
        ("azureblob", {"account": "abc", "key": "AAAA", "endpoint": "http://localhost:{port}"}),
        ("google cloud storage", {"anonymous": "true", "endpoint": "http://localhost:{port}"}),
        ("b2", {"account": "abc", "key": "abc", "endpoint": "http://localhost:{port}"}),
    ],
)
def test_no_backend_has_a_way_round(backend: str, parameters: dict[str, str]) -> None:
    """As if the name had led elsewhere when the portal looked."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        filled = {name: text.format(port=port) for name, text in parameters.items()}
        remote = Remote("there", backend, filled, confined=True)
        found = list_folder(rclone_path(None), remote, "bucket", seconds=30)
        assert str(found.problem).startswith("The storage leads to the portal's own machine")
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()


def children_of(group: int) -> list[int]:
    return [pid for pid in pids() if (found := inspect(pid)) and found.group == group]


def test_confined_transfer_is_stopped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """One that hangs on a server which accepts and says nothing."""
    program = python_program(
        tmp_path / "rclone", "import sys, time\nprint('x', file=sys.stderr)\ntime.sleep(60)\n"
    )
    remote = Remote("there", "webdav", {"url": "http://198.51.100.1"}, confined=True)
    order = TransferOrder(7, 1, "copy", "there:x", str(tmp_path), None, False, remotes=(remote,))
    leaders: list[int] = []
    run = Run(program, order, grace=5.0)
    for _ in run.readings(leaders.append, tick=0.05):
        if leaders and len(children_of(leaders[0])) == 2:  # rclone and the proxy
            run.stop()
    run.close()
    assert run.outcome().stopped
    wait_for(lambda: not children_of(leaders[0]))


@pytest.mark.parametrize("ending", ["sys.exit(7)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_program_keeps_its_process_and_its_exit_code(tmp_path: Path, ending: str) -> None:
    program = python_program(
        tmp_path / "program",
        f"import os, signal, sys\nprint(os.getpid(), os.environ['RCLONE_HTTP_PROXY'], flush=True)"
        f"\n{ending}\n",
    )
    command = [sys.executable, "-I", "-S", egress_proxy.__file__, str(program)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    output, _ = process.communicate(timeout=20)  # the proxy does not hold the pipe open
    pid, address = output.split()
    assert int(pid) == process.pid
    assert address.startswith("socks5://portal:")
    assert process.returncode == (7 if "exit" in ending else -signal.SIGKILL)
    wait_for(lambda: not children_of(process.pid))


def test_program_that_does_not_exist_is_said(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", egress_proxy.__file__, str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cannot be started" in done.stderr
