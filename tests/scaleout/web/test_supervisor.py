"""Several web processes on one port: they are started, looked after, replaced and ended as one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

from tests.shipped import environment as shipped
from tests.support.people import Person
from tests.support.portal_server import START_SECONDS
from tests.support.project import ROOT
from tests.support.waiting import wait_for
from tests.support.web_processes import Web, alive_of, wait_until_gone

pytestmark = pytest.mark.faults


def test_all_processes_answer_on_one_port(web: Web) -> None:
    assert web.is_whole()
    assert web.log.count("Transfer Portal on") == 1
    for _ in range(20):
        assert Person(web).get("/healthz").status_code == 200


def test_process_that_is_killed_is_started_again_and_the_other_answers_meanwhile(web: Web) -> None:
    victim = web.kill_one()

    wait_for(lambda: victim not in web.children())
    assert Person(web).get("/healthz").status_code == 200
    wait_for(web.is_whole, START_SECONDS)


def test_hangup_replaces_every_process_and_no_request_is_refused(web: Web) -> None:
    wait_for(web.is_whole)
    before = web.children()
    os.kill(web.pid, signal.SIGHUP)

    asked = 0
    deadline = time.monotonic() + 2 * START_SECONDS
    while web.log.count("the processes are replaced") == 0:
        assert Person(web).get("/login").status_code == 200
        asked += 1
        time.sleep(0.05)  # it is the machine that does the replacing
        assert time.monotonic() < deadline, web.log
    assert asked > 10
    assert not set(before) & set(web.children())
    assert web.is_whole()


def test_second_portal_on_the_port_is_refused(web: Web, tmp_path: Path) -> None:
    environment = {**web.environment, "PORTAL_DATA_DIR": str(tmp_path)}
    second = [shipped.python(), "manage.py", "run", "--processes", "2"]
    done = subprocess.run(
        second, cwd=ROOT, env=shipped.environment(environment), capture_output=True, text=True
    )

    assert done.returncode == 1
    assert (
        f"PORTAL_PORT: cannot listen on 127.0.0.1:{web.port}: Address already in use."
        in done.stderr
    )


def test_all_killed_at_once_are_all_started_again(web: Web) -> None:
    for child in web.children():
        os.kill(child, signal.SIGKILL)

    wait_for(web.is_whole, START_SECONDS)
    wait_for(lambda: answers(web), START_SECONDS)


def test_supervisor_that_is_killed_leaves_nobody_behind_and_the_port_free(web: Web) -> None:
    supervisor = web.pid
    web.kill()

    wait_until_gone(supervisor, START_SECONDS)
    web.start()
    assert web.is_whole()


def test_supervisor_that_is_asked_to_end_takes_all_along(web: Web) -> None:
    supervisor = web.pid

    assert web.stop() == 0
    assert alive_of(supervisor) == []
    assert "Traceback" not in web.log


def answers(web: Web) -> bool:
    try:
        return Person(web).get("/healthz").status_code == 200
    except OSError:
        return False


# --- with a stand-in for the serving process ----------------------------------------------------

SUPERVISE = """
    import sys
    from portal.runtime import stopping
    from portal.settings import load_settings
    from portal.server.supervisor import Supervisor

    sys.argv = [sys.argv[1]]
    Supervisor(load_settings(), 2, migrate_first=False).run()
    stopping.ignore_signals()  # as the command line does in the end
"""


def supervise(program: Path) -> subprocess.Popen[bytes]:
    with (program.parent / "log").open("wb") as log:
        return subprocess.Popen(
            [shipped.python(), "-c", textwrap.dedent(SUPERVISE), str(program)],
            cwd=ROOT,
            env=shipped.environment(
                {**os.environ, "PORTAL_DATA_DIR": str(program.parent / "data")}
            ),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def test_process_that_cannot_start_ends_the_whole(tmp_path: Path) -> None:
    program = tmp_path / "fails.py"
    program.write_text("import sys\nsys.exit('The cellar is flooded.')\n")
    supervisor = supervise(program)

    assert supervisor.wait(START_SECONDS) == 1
    said = (tmp_path / "log").read_text()
    assert "The cellar is flooded." in said
    assert "StartFailed" in said


def test_process_that_keeps_dying_is_started_again_ever_later(tmp_path: Path) -> None:
    program = tmp_path / "dies.py"
    program.write_text(
        textwrap.dedent("""
            import os, pathlib, sys, time
            words = sys.argv
            os.write(int(words[words.index("--supervisor-pipe") + 1]), b"1")
            if words[words.index("--slot") + 1] == "0":
                time.sleep(600)
            with (pathlib.Path(__file__).parent / "starts").open("a") as file:
                print(time.monotonic(), file=file)
            time.sleep(0.3)
        """)
    )
    supervisor = supervise(program)
    starts = tmp_path / "starts"
    wait_for(lambda: starts.exists() and len(starts.read_text().split()) >= 3, START_SECONDS)
    supervisor.terminate()
    supervisor.wait(10)

    times = [float(one) for one in starts.read_text().split()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[0] >= 1
    assert gaps[1] >= 2


def test_process_that_will_not_end_is_killed_within_ten_seconds(tmp_path: Path) -> None:
    program = tmp_path / "stays.py"
    program.write_text(
        textwrap.dedent("""
            import os, signal, sys, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(int(sys.argv[sys.argv.index("--supervisor-pipe") + 1]), b"1")
            time.sleep(600)
        """)
    )
    supervisor = supervise(program)
    wait_for(lambda: "Transfer Portal on" in (tmp_path / "log").read_text(), START_SECONDS)
    asked = time.monotonic()
    supervisor.terminate()

    assert supervisor.wait(10) == 0
    assert time.monotonic() - asked < 10
    assert alive_of(supervisor.pid) == []
