"""What rclone says, on its way into the log of a job: levels, printable lines, no credentials."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.engine.output.log import Backlog, LogLine
from portal.engine.output.redaction import MASK, redact_credentials
from portal.engine.output.statistics import parse

CANARY = "hunter2canary"


def said(**entry):
    return parse(json.dumps(entry).encode())


@pytest.mark.parametrize(
    ("level", "called"),
    [
        ("debug", "debug"),
        ("info", "info"),
        ("notice", "notice"),
        ("warning", "warning"),
        ("error", "error"),
        ("critical", "error"),
        ("", "error"),
        (7, "error"),
    ],
)
def test_each_level_of_rclone_has_one_here(level, called):
    line = said(level=level, msg=" Copied (new)\n", object="a folder/f\x1b[1m")
    assert (line.level, line.object, line.message) == (called, "a folder/f\\x1b[1m", "Copied (new)")


def test_statistics_are_no_words():
    line = said(level="notice", msg="Transferred", stats={"bytes": 1})
    assert (line.level, line.message) == ("", "")


def test_what_is_not_json_is_an_error_line():
    line = parse(b"panic: runtime error\xff\n")
    assert (line.level, line.message) == ("error", "panic: runtime error\ufffd")
    assert parse(b"  \n").level == ""


def test_many_lines_in_one_message_stay_one_line():
    assert said(level="info", msg="one\ntwo\u202e").message == "one\\ntwo\\u202e"


@pytest.mark.parametrize(
    "text",
    [
        f"password={CANARY}",
        f"Password: {CANARY}",
        f'"pass": "{CANARY} {CANARY}"',
        f"sftp_pass='{CANARY}' user=bob",
        f"RCLONE_CONFIG_X_PASS={CANARY}",
        f"RCLONE_CONFIG_BUCKET_SECRET_ACCESS_KEY={CANARY}",
        f"secret_access_key = {CANARY}",
        f"AWS_ACCESS_KEY_ID={CANARY}",
        f"account_key:{CANARY}==",
        f"https://bob:{CANARY}@example.org/a",
        f"ftp://:{CANARY}@example.org",
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}==",
        f"sent Bearer {CANARY} to it",
        f"GET /b/o?X-Amz-Signature={CANARY}&X-Amz-Date=1",
        f"GET /b/o?X-Amz-Credential={CANARY}%2F20261122",
        f"GET /b/o?sv=1&sig={CANARY}%3D",
        f'{{"access_token":"{CANARY}","expiry":"2026"}}',
        f'token = {{\\"refresh_token\\":\\"{CANARY}\\"}}',
        f"cookie: session={CANARY}",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n",
        f"api-key={CANARY}",
    ],
)
def test_what_looks_like_a_credential_is_masked(text):
    for line in (
        said(level="error", msg=f"failed: {text}"),
        said(level="error", msg="x", object=text),
    ):
        for shown in (line.message, line.object, line.error.text):
            assert CANARY not in shown
    assert MASK in redact_credentials(text)
    assert CANARY not in parse(text.encode()).message


def test_masks_key_ids_by_their_form():
    assert redact_credentials("denied for AKIAIOSFODNN7EXAMPLE.") == f"denied for {MASK}."


@pytest.mark.parametrize(
    "text",
    [
        "Copied (new)",
        "photos/passport scan.jpg",
        "key signature of the song.mid",
        "tokens/list.txt: Copied (replaced existing)",
        "Failed to copy: directory not found",
        "dial tcp 10.0.0.1:443: connect: connection refused",
        "https://example.org/a/b@c",
        "Local file system at /srv/data/secrets of the trade",
    ],
)
def test_plain_words_stay_as_they_are(text):
    assert redact_credentials(text) == text


def test_masking_a_long_name_takes_no_time():
    began = time.process_time()
    for text in ("a-" * 30_000 + "key", "x.pass" * 10_000, "://" * 20_000 + "@", 'key="' * 12_000):
        redact_credentials(text)
    assert time.process_time() - began < 2


@given(st.text(), st.text())
def test_masking_fails_on_no_text(text, more):
    assert isinstance(redact_credentials(f"{text}token={more}"), str)


# --- the backlog --------------------------------------------------------------------------------


def line(subject: str, message: str = "Copied (new)") -> LogLine:
    return LogLine(1.5, "info", subject, message)


def test_backlog_gives_each_line_once_oldest_first():
    backlog = Backlog()
    backlog.add([line("f0"), line("f1")])
    backlog.add([line("f2")])
    lines, left_out = backlog.take()
    assert ([line.object for line in lines], left_out) == (["f0", "f1", "f2"], 0)
    assert backlog.take() == ([], 0)


def test_backlog_asks_to_be_taken_before_anything_is_left_out() -> None:
    backlog = Backlog(10, 10_000)
    backlog.add([line("a.txt")] * 5)
    assert not backlog.is_filling
    backlog.add([line("a.txt")])
    assert backlog.is_filling
    assert backlog.take()[1] == 0
    assert not backlog.is_filling
    backlog.add([line("", "x" * 6_000)])
    assert backlog.is_filling


@pytest.mark.parametrize(("lines", "characters", "kept"), [(10, 10_000, 10), (1000, 50, 10)])
def test_backlog_that_nobody_takes_keeps_the_first_and_counts_the_others(lines, characters, kept):
    backlog = Backlog(lines, characters)
    backlog.add([line(f"{number:03}", "no") for number in range(100)])
    taken, left_out = backlog.take()
    assert [line.object for line in taken] == [f"{number:03}" for number in range(kept)]
    assert left_out == 100 - kept
    backlog.add([line("again", "")])
    assert len(backlog.take()[0]) == 1


# --- from a real rclone -------------------------------------------------------------------------


def test_real_copy_logs_each_file_and_no_statistics(bench, source, tmp_path):
    transfer = bench.transfer(source, tmp_path / "to")
    readings = list(transfer.readings())
    lines, left_out = transfer.take_log()
    assert readings[-1].percent == 100
    assert left_out == 0
    copied = {line.object for line in lines if line.message == "Copied (new)"}
    assert copied == {"big", "zero", "sub/small"}
    assert {line.level for line in lines} == {"info"}
    assert not [line for line in lines if "Transferred" in line.message]
    assert transfer.take_log() == ([], 0)


def test_failed_copy_logs_its_errors(bench, tmp_path):
    transfer = bench.transfer(tmp_path / "nowhere", tmp_path / "to")
    list(transfer.readings())
    lines, _ = transfer.take_log()
    assert "directory not found" in next(line.message for line in lines if line.level == "error")


def test_log_of_many_files_is_taken_whole_by_whoever_follows_the_readings(bench, tmp_path):
    """Faster than the pace of the statistics: 12,000 lines come within a second."""
    source = tmp_path / "from"
    for folder in range(12):
        (source / str(folder)).mkdir(parents=True)
        for number in range(1000):
            (source / str(folder) / f"{number}.txt").touch()
    transfer = bench.transfer(source, tmp_path / "to", dry_run=True)
    taken, lost = 0, 0
    for _ in transfer.readings():
        lines, left_out = transfer.take_log()
        taken, lost = taken + len(lines), lost + left_out
    lines, left_out = transfer.take_log()
    assert lost + left_out == 0
    assert taken + len(lines) > 12_000
