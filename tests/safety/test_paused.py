"""A paused transfer that is ended does nothing more: it would go on at ends that nobody has
examined again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from portal.engine import Remote, Run, TransferOrder, Watchdog, rclone_path
from portal.transfers.options import Options
from tests.support.keepsakes import kept
from tests.support.waiting import wait_for

SIZE = 100_000


@pytest.fixture
def source() -> Iterator[Path]:
    """On another disk than the destination: within one, a move renames at once."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        for number in range(40):
            Path(folder, f"{number:02}.bin").write_bytes(b"%02d" % number * (SIZE // 2))
        yield Path(folder)


class Paused:
    """A transfer that was paused in the middle, for so long that its bandwidth limit would let
    through all the rest at once."""

    def __init__(self, order: TransferOrder, data: Path, target: Path) -> None:
        self.run = Run(rclone_path(None), order, data_dir=data, grace=5.0)
        self.leaders: list[int] = []
        self._target = target
        self._acts: list[Callable[[], None]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        wait_for(lambda: len(list(target.rglob("*.bin"))) >= 3, 20)
        self.do(self.run.pause)
        time.sleep(2)  # what the limit saves up meanwhile

    def do(self, act: Callable[[], None]) -> None:
        """All calls come from the thread that follows it."""
        self._acts.append(act)
        wait_for(lambda: not self._acts, 5)

    def end(self) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _follow(self) -> None:
        for _ in self.run.readings(self.leaders.append, tick=0.05):
            for act in list(self._acts):
                act()
                self._acts.remove(act)
        self.run.close()


@pytest.mark.parametrize("how", ["stop", "kill", "watchdog"])
@pytest.mark.parametrize("kind", ["local", "sftp"])
@pytest.mark.parametrize("operation", ["copy", "move"])
def test_paused_transfer_that_is_ended_does_nothing_more(
    servers, tmp_path, source, operation, kind, how
):
    store = tmp_path / "store"
    (store / "to").mkdir(parents=True)
    remotes: tuple[Remote, ...] = ()
    destination = str(store / "to")
    if kind != "local":
        remotes = (servers.remote("nas", servers.start(kind, store)),)
        destination = "nas:to"
    order = TransferOrder(
        *(7, 1, operation, str(source), destination, "500K", False),
        remotes=remotes,
        options=Options(retries=0, transfers=1),
    )
    with_watchdog = Watchdog(grace=5.0)
    with_watchdog.start()
    paused = Paused(order, tmp_path, store / "to")
    before = kept(source), whole(store / "to")
    if how == "watchdog":
        with_watchdog.hold(paused.leaders[-1], 0.0)
    else:
        paused.do(getattr(paused.run, how))
    with_watchdog.close(10)
    paused.end()
    assert (kept(source), whole(store / "to")) == before
    assert not paused.run.outcome().succeeded


@pytest.mark.parametrize("kind", ["webdav", "sftp"])
@pytest.mark.parametrize("ends", ["completes", "is cancelled"])
def test_files_that_were_begun_before_a_pause_and_are_whole_are_not_called_partial(
    servers, tmp_path, source, kind, ends
):
    """Such a transfer begins anew after the pause, since both ends are on one machine."""
    store = tmp_path / "store"
    (store / "to").mkdir(parents=True)
    order = TransferOrder(
        *(7, 1, "move", str(source), "nas:to", "500K", False),
        remotes=(servers.remote("nas", servers.start(kind, store)),),
        options=Options(retries=0, transfers=1),
    )
    paused = Paused(order, tmp_path, store / "to")
    before = len(kept(store / "to"))
    if ends == "completes":
        paused.do(lambda: paused.run.limit(None))
    paused.do(paused.run.resume)
    if ends != "completes":
        wait_for(lambda: len(whole(store / "to")) > before + 3, 30)
        paused.do(paused.run.stop)
    paused.end()
    outcome = paused.run.outcome()
    names = (outcome.found.left_out_names or {}).get("may_remain", [])
    assert outcome.succeeded == (ends == "completes")
    assert [name for name in names if not lies_there(store / "to", name)] == []
    if ends == "completes":
        assert names == []
        assert len(whole(store / "to")) == 40


def lies_there(folder: Path, name: str) -> bool:
    return bool(list(folder.glob(name)))


def whole(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in kept(folder).items() if ".portal" not in name}
