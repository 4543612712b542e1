"""A port of this machine that nobody listens at."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: Not of a seed, which property tests set to the same in each process.
_chosen = random.SystemRandom()


def free_port() -> int:
    """None of those from which the system takes one for each connection that somebody opens: it
    could be gone before a server listens at it, or while one is down to come back. Nor one that
    another test process was given: its server would be taken for one's own."""
    first_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    for _ in range(1000):
        port = _chosen.randrange(first_ephemeral // 2, first_ephemeral)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _reserve(port)
            return port
    raise AssertionError("every port is taken")


def _reserve(port: int) -> None:
    """For as long as this process lives. Raises OSError if another one has it."""
    with socket.socket(socket.AF_UNIX) as reservation:
        reservation.bind(f"\0port-{port}-of-a-test")
        reservation.detach()
