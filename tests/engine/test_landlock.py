"""Landlock as the kernel has it: what a thread that gave up its rights can still do."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.engine.process import landlock
from portal.engine.process.landlock import Access, Ruleset
from tests.support.confined import needs_landlock


def in_a_thread_that_is(restricted_by: Ruleset, act: Callable[[], object]) -> int:
    """The number of the error that the act met; 0 if none. A thread ends with its restriction."""
    met: list[int] = []

    def run() -> None:
        try:
            restricted_by.restrict_this_thread()
            act()
            met.append(0)
        except OSError as error:
            met.append(error.errno or -1)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    (code,) = met
    return code


@pytest.fixture
def rules() -> Iterator[Ruleset]:
    made = Ruleset(network=False)
    yield made
    made.close()
    made.close()  # does no harm


@needs_landlock
def test_thread_reads_what_is_allowed_and_nothing_else(rules: Ruleset, tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
        (folder / "file").write_text("x")
    rules.allow_path(str(allowed), Access.READ_FILE | Access.READ_DIR)
    rules.allow_path(str(tmp_path / "nothing"), Access.READ_FILE)  # ignored
    assert in_a_thread_that_is(rules, (allowed / "file").read_text) == 0
    assert in_a_thread_that_is(rules, (other / "file").read_text) == errno.EACCES
    assert in_a_thread_that_is(rules, lambda: (allowed / "file").write_text("y")) == errno.EACCES
    assert (other / "file").read_text() == "x", "other threads are left alone"


@needs_landlock
def test_right_to_one_file_is_no_right_to_its_folder(rules: Ruleset, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        path.write_text("x")
    everything = Access(sum(Access))
    rules.allow_path(str(one), everything)
    assert in_a_thread_that_is(rules, lambda: one.write_text("y")) == 0
    assert in_a_thread_that_is(rules, other.read_text) == errno.EACCES
    assert in_a_thread_that_is(rules, lambda: list(tmp_path.iterdir())) == errno.EACCES


@pytest.mark.skipif(landlock.version() < 4, reason="this kernel's Landlock knows no network")
@pytest.mark.parametrize("network", [True, False])
def test_network_is_closed_unless_it_is_wanted(network: bool) -> None:
    rules = Ruleset(network=network)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        met = in_a_thread_that_is(rules, lambda: socket.create_connection(address, 5).close())
    rules.close()
    assert met == (0 if network else errno.EACCES)


@pytest.fixture
def kernel_without(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The number of no system call stands for that of one that this kernel does not have."""
    monkeypatch.setattr(landlock, "_CREATE", 100_000)
    landlock.version.cache_clear()
    yield
    landlock.version.cache_clear()


@pytest.mark.usefixtures("kernel_without")
def test_kernel_without_it_is_version_0_and_makes_no_rules() -> None:
    assert landlock.version() == 0
    with pytest.raises(OSError, match="not implemented") as raised:
        Ruleset(network=True)
    assert raised.value.errno == errno.ENOSYS


@needs_landlock
def test_thread_that_may_not_give_up_its_rights_hears_of_it(rules: Ruleset) -> None:
    """One that goes on unrestricted without knowing would be the worst."""
    rules.close()
    done: list[str] = []
    assert in_a_thread_that_is(rules, lambda: done.append("acted")) == errno.EBADF
    assert done == []


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        (1, Access.REFER | Access.TRUNCATE | Access.IOCTL_DEV),
        (2, Access.TRUNCATE | Access.IOCTL_DEV),
        (3, Access.IOCTL_DEV),
        (5, Access(0)),
    ],
)
def test_older_kernel_is_asked_for_no_right_that_it_does_not_know(
    version: int, missing: Access
) -> None:
    assert landlock._handled(version) == Access(sum(Access)) & ~missing
