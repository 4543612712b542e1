"""An rclone that hangs, floods, lies or dies: the transfer ends, in time and in memory."""

from __future__ import annotations

import os
import resource
import time

import pytest

from portal.engine import EngineError
from tests.support.waiting import wait_for

STATS = '{"level":"notice","msg":"m","stats":{"bytes":%d,"totalBytes":100,"totalTransfers":1}}'


def stop_at_first_reading(transfer):
    for reading in transfer.readings(tick=0.05):
        if reading is not None:
            transfer.stop()
    return transfer.outcome()


def test_silence_gives_none_at_every_tick(bench):
    bench.script("time.sleep(60)")
    transfer = bench.transfer(grace=0.2)
    readings = transfer.readings(tick=0.1)
    began = time.monotonic()
    assert [next(readings) for _ in range(5)] == [None] * 5
    assert 0.4 < time.monotonic() - began < 5


def test_sigterm_and_grandchild_ignored_ends_by_sigkill_of_the_group(bench, marked):
    bench.script(
        f"""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        os.write(2, b'{STATS % 10}\\n')
        time.sleep(60)
        """
    )
    transfer = bench.transfer(grace=0.5)
    began = time.monotonic()
    outcome = stop_at_first_reading(transfer)
    assert time.monotonic() - began < 5
    assert (outcome.exit_code, outcome.stopped) == (-9, True)
    wait_for(lambda: not marked(7), 5)


def test_grandchild_that_keeps_stderr_open_dies_with_rclone(bench, marked):
    bench.script(
        f"""
        subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        os.write(2, b'{STATS % 100}\\n')
        """
    )
    began = time.monotonic()
    outcome, _ = bench.run()
    assert time.monotonic() - began < 5
    assert outcome.succeeded
    wait_for(lambda: not marked(7), 5)


def test_grandchild_that_left_the_group_cannot_hold_the_transfer(bench, marked):
    bench.script(
        """
        code = "import time; time.sleep(60)"
        subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
        time.sleep(60)
        """
    )
    transfer = bench.transfer(grace=0.5)
    began = time.monotonic()
    for _ in transfer.readings(tick=0.1):
        if len(marked(7)) == 2:
            transfer.stop()
    assert time.monotonic() - began < 6
    assert transfer.outcome().stopped
    for pid in marked(7):
        os.kill(pid, 9)


def test_close_alone_ends_what_ignores_sigterm(bench, marked):
    bench.script(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(2, b'x\\n'); time.sleep(60)"
    )
    transfer = bench.transfer(grace=0.3)
    began = time.monotonic()
    transfer.close()
    assert time.monotonic() - began < 3
    assert not marked(7)
    assert transfer.outcome().stopped


def test_stopped_process_is_ended_too(bench, marked):
    bench.script("os.kill(os.getpid(), signal.SIGSTOP)")
    transfer = bench.transfer(grace=0.3)
    transfer.close()
    assert transfer.outcome().exit_code in (-9, -15)


def test_exit_of_0_after_sigterm_is_no_success(bench):
    bench.script(
        f"""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        os.write(2, b'{STATS % 50}\\n')
        time.sleep(60)
        """
    )
    outcome = stop_at_first_reading(bench.transfer())
    assert (outcome.exit_code, outcome.stopped, outcome.succeeded) == (0, True, False)
    assert outcome.progress.percent == 50.0


def test_stop_after_the_end_changes_nothing(bench):
    bench.script("pass")
    transfer = bench.transfer()
    list(transfer.readings())
    transfer.stop()
    assert transfer.outcome().succeeded
    assert transfer.outcome().progress.percent == 100.0


@pytest.mark.exclusive
@pytest.mark.parametrize(("line", "size"), [("x" * 99, 60_000_000), (STATS % 60, 5_000_000)])
def test_flood_stays_in_bounded_memory(bench, line, size):
    count = size // (len(line) + 1)
    bench.script(
        f"""
        block = (b'{line}' + b"\\n") * 1000
        for _ in range({count} // 1000):
            sys.stderr.buffer.write(block)
        os.write(2, b'{STATS % 70}\\n')
        sys.exit(1)
        """
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    transfer = bench.transfer()
    for number, _ in enumerate(transfer.readings()):
        if number == 2:
            time.sleep(0.3)  # A slow caller: nothing may pile up.
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 30_000  # KiB
    outcome = transfer.outcome()
    assert outcome.progress.bytes_transferred == 70
    assert len(outcome.error_lines) <= 20


@pytest.mark.exclusive
def test_one_line_of_50_mb_is_dropped_and_what_follows_is_read(bench):
    bench.script(
        f"""
        for _ in range(50):
            sys.stderr.buffer.write(b'{{' * 1_000_000)
        sys.stderr.buffer.write(b'\\n{STATS % 33}\\n' + b'y' * 1_100_000 + b'\\nshort')
        sys.exit(1)
        """
    )
    outcome, _ = bench.run()
    assert outcome.progress.percent == 33.0
    assert outcome.error_lines == ("short",)


def test_invalid_utf8_and_control_characters_are_shown_escaped(bench):
    bench.script(
        r"""
        os.write(2, b'\xff\xfe\x1b[31m red\n')
        os.write(2, b'{"level":"error","object":"a\\u0007b","msg":"' + b'\xff' + b' bad\\ud800"}\n')
        sys.exit(1)
        """
    )
    outcome, _ = bench.run()
    assert outcome.error_lines == ("��\\x1b[31m red", "a\\x07b: � bad\\ud800")
    "".join(outcome.error_lines).encode()


@pytest.mark.parametrize("at", [0, 1, 40, len(STATS % 10) - 1, len(STATS % 10)])
def test_death_at_any_byte_is_a_failure_with_what_was_read(bench, at):
    whole = STATS % 10
    bench.script(f"os.write(2, b'{whole}'[:{at}]); os.kill(os.getpid(), signal.SIGSEGV)")
    outcome, _ = bench.run()
    assert outcome.exit_code == -11
    assert "signal 11 (SIGSEGV)" in outcome.reason
    assert (outcome.progress is not None) == (at == len(whole))


def test_closed_stderr_is_not_yet_the_end(bench):
    bench.script("os.close(2); time.sleep(0.6); os._exit(4)")
    transfer = bench.transfer()
    began = time.monotonic()
    readings = list(transfer.readings(tick=0.1))
    assert time.monotonic() - began > 0.5
    assert readings.count(None) >= 4
    assert transfer.outcome().exit_code == 4


def test_lost_exit_status_is_no_success(bench):
    bench.script("pass")
    transfer = bench.transfer()
    os.waitpid(-1, 0)
    list(transfer.readings())
    assert (transfer.outcome().succeeded, transfer.outcome().exit_code) == (False, 1)


def test_what_the_system_cannot_start_is_an_engine_error(bench):
    with pytest.raises(EngineError, match="cannot be started: Argument list too long"):
        bench.transfer("/" + "x" * 200_000)
