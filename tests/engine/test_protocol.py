"""rclone's protocol is read before anything is redacted; what cannot be read is counted, and makes
no plan."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.engine import (
    Outcome,
    ProcessSettings,
    RcloneProcess,
    Remote,
    Run,
    TransferOrder,
    list_folder,
)
from portal.engine.output.plan import PlanBuilder
from portal.engine.output.redaction import MASK, SecretRedactor
from portal.engine.output.statistics import (
    LogRecord,
    Skipped,
    decode,
    parse,
    read,
    skip_words,
)
from portal.engine.output.stderr import LONGEST_LINE
from portal.transfers.options import Options

#: Passwords that spoil JSON, numbers or rclone's own words, if they are cut out of its lines.
SPOILING = ["2048", '":"', "true", "skipped", "delete", '{"time":', "size", "object", "stats"]
AWKWARD = ['Kanarie%nvogel & "7" ÿ', "a\\b/c'd<e>", "pass word+1", "\U0001f511 key\t!", "ключ=2048"]


def deleted(name: str, size: int = 2048) -> bytes:
    entry = {"level": "notice", "msg": f"Skipped delete as --dry-run is set (size {size})"}
    return json.dumps({**entry, "skipped": "delete", "size": size, "object": name}).encode()


# --- parsed first -------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", SPOILING)
def test_password_spoils_neither_names_nor_figures(secret: str) -> None:
    redactor = SecretRedactor([secret])
    line = parse(deleted(f"a {secret} b"), redactor)
    assert line.skipped == Skipped("delete", f"a {secret} b", 2048)
    assert not line.broken
    assert secret not in line.object or len(secret) < 4
    stats = {"bytes": 2048, "totalBytes": 20480, "transferring": [{"name": f"x {secret}"}]}
    read = parse(json.dumps({"msg": "m", "stats": stats}).encode(), redactor).statistics
    assert read is not None
    assert (read.bytes, read.total_bytes) == (2048, 20480)
    assert secret not in read.transferring[0].name or len(secret) < 4


@pytest.mark.parametrize("secret", SPOILING)
def test_plan_names_all_and_shows_no_secret(secret: str) -> None:
    def planned(names: list[str], secrets: list[str]) -> tuple[str, list[str]]:
        redactor = SecretRedactor(secrets)
        plan_builder = PlanBuilder("sync", 0.0, redactor.without_secrets)
        for name in names:
            skipped = parse(deleted(name), redactor).skipped
            assert skipped is not None
            plan_builder.add(skipped)
        plan = plan_builder.plan()
        assert plan.deletes == len(names)
        return plan.fingerprint, [one.name for one in plan.first_deletes]

    fingerprint, shown = planned([secret, "other", f"{secret}.txt"], [secret])
    assert secret not in "".join(shown) or len(secret) < 4
    assert planned([secret, "other", f"{secret}.txt"], [])[0] == fingerprint
    assert planned([secret, "other", "x.txt"], [secret])[0] != fingerprint


@pytest.mark.parametrize(
    "line",
    [
        b'{"object":"caf\xe9","size":1}',
        b'{"object":"\\ud800","size":1}',
        b'{"object":"a","size":1,"eta":NaN}',
        b'{"object":"a","size":1,"speed":1e400}',
        b'{"object":"a","size":1} \t',
    ],
)
def test_json_that_is_not_quite_json_is_read_as_well(line: bytes) -> None:
    entry = decode(line)
    assert entry is not None
    assert entry["size"] == 1


@pytest.mark.parametrize("line", [b'{"a":1', b'{"a":1}{"b":2}', b'{"a":1} x', b'["a"]', b""])
def test_half_a_line_and_two_lines_are_none(line: bytes) -> None:
    assert decode(line) is None


@pytest.mark.parametrize("secret", ["secret-of-7", "dir", "--dry-run is set"])
@pytest.mark.parametrize(
    "message",
    [
        "Skipped delete as --dry-run is set (size 2.5Ki)",
        "Skipped set directory modification time as --dry-run is set",
        "Skipped delete as --dry-run is set (size 1) by password=secret-of-7",
        "Skipped the rest: secret-of-7",
    ],
)
def test_words_of_a_skipped_file_are_those_of_any_line(message: str, secret: str) -> None:
    redactor = SecretRedactor([secret])
    entry = {"level": "notice", "msg": message, "skipped": "delete", "object": "dir/secret-of-7"}
    line = read(entry, redactor)
    assert "secret-of-7" not in line.message or secret != "secret-of-7"
    words = skip_words(entry, redactor)
    if words is not None:
        assert words[:2] == (line.level, line.object)
        assert words[2] == message
        assert "secret-of-7" not in message


def _spelled(secret: str) -> dict[str, str]:
    once = json.dumps(secret)
    return {
        "as it is": secret,
        "in JSON": once,
        "in JSON in JSON": json.dumps(once),
        "in an address": quote(secret, safe=""),
        "in small hex": "".join(f"%{byte:02x}" for byte in secret.encode()),
        "in an address twice": quote(quote(secret, safe=""), safe=""),
        "every character escaped": "".join(f"\\u{ord(c):04x}" for c in secret if ord(c) < 65536),
        "one character escaped": f"{secret[0]}\\u{ord(secret[1]):04X}{secret[2:]}",
        "one character in hex": secret[0]
        + "".join(f"%{b:02X}" for b in secret[1].encode())
        + secret[2:],
        "as numbers of HTML": "".join(f"&#{ord(character)};" for character in secret),
        "as Go quotes bytes": "".join(f"\\x{byte:02x}" for byte in secret.encode()),
    }


@pytest.mark.parametrize("secret", [*AWKWARD, "plain-canary", "2048"])
def test_secret_leaves_in_no_spelling(secret: str) -> None:
    redactor = SecretRedactor([secret])
    for kind, spelled in _spelled(secret).items():
        if kind == "every character escaped" and max(secret) > "\uffff":
            continue
        for about in ("", "a name"):
            entry = {"level": "error", "object": about, "msg": f"failed: <{spelled}>!"}
            line = parse(json.dumps(entry).encode(), redactor)
            assert line.error is not None
            for text in (line.message, line.error.text):
                assert spelled not in text, kind
                assert MASK in text, kind
        plain = parse(f"plainly: <{spelled}>!".encode(), redactor)
        assert spelled not in plain.message, kind


@given(st.text(min_size=4, max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_no_text_holds_a_secret_afterwards(secret: str, before: str, after: str) -> None:
    shown = SecretRedactor([secret]).redact(f"{before}{secret}{after}")
    assert secret not in shown or secret in MASK or set(secret) <= set(MASK)


def test_secret_is_masked_before_a_long_line_is_cut() -> None:
    redactor = SecretRedactor(["canary-canary-canary"])
    for at in range(1970, 2001):
        for raw in (b"x" * at, b'{"msg":"' + b"x" * at):
            line = parse(raw + b"canary-canary-canary", redactor)
            assert line.error is not None
            assert "canary" not in line.error.text
            assert "canary" not in line.message


def test_looking_for_secrets_takes_no_time() -> None:
    redactor = SecretRedactor([*AWKWARD, "k" * 4000, "\\" * 50, "%25" * 20])
    began = time.process_time()
    for text in ("\\" * 60_000, "%25" * 20_000, "&#0" * 20_000, "Copied (new) & more" * 1000):
        redactor.redact(text)
    assert time.process_time() - began < 2


# --- what cannot be read ------------------------------------------------------------------------

BROKEN = {
    "torn": b'{"level":"notice","msg":"Skipped delete","skipped":"del',
    "no JSON": b"{what}",
    "bare key": b'{"skipped":"delete","size":***,"object":"x"}',
    "deed is no text": b'{"msg":"m","skipped":true,"object":"x"}',
    "no name": b'{"msg":"m","skipped":"delete","size":1}',
    "size is no number": b'{"msg":"m","skipped":"delete","size":"1","object":"x"}',
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
def test_line_that_should_be_read_and_cannot_be_is_broken(raw: bytes) -> None:
    line = parse(raw)
    assert line.broken
    assert line.skipped is None


@pytest.mark.parametrize("raw", [b"panic: runtime error", b"setpriv: failed to execute", b"", b"["])
def test_line_from_outside_the_log_is_an_error_and_not_broken(raw: bytes) -> None:
    line = parse(raw)
    assert not line.broken
    assert (line.error.text if line.error else "") == raw.decode()
    assert parse(b'{"msg":"m","skipped":"delete","size":-1,"object":"x"}').skipped == Skipped(
        "delete", "x", 0
    )


DRY_RUN = """
def deleted(name):
    print(json.dumps({"level": "notice", "msg": "Skipped delete", "skipped": "delete", "size": 1,
                      "object": name}), file=sys.stderr)
def ended(deletes):
    stats = {"bytes": 0, "totalBytes": 0, "transfers": 0, "deletes": deletes}
    print(json.dumps({"msg": "m", "stats": stats}), file=sys.stderr, flush=True)
deleted("a")
"""


@pytest.mark.parametrize(
    ("said", "broken"),
    [
        (r"os.write(2, b'{\"skipped\":\"delete\",\"obj\n'); ended(1)", 1),
        (rf"os.write(2, b'{{' + b'x' * {LONGEST_LINE} + b'\n'); ended(1)", 1),
        (r"ended(1); os.write(2, b'{\"msg\":\"cut o')", 1),
        ("ended(2)", 0),  # one less was told of than rclone has counted
        ("pass", 0),  # the last figures never came
    ],
)
def test_dry_run_of_which_a_line_is_missing_makes_no_plan(bench, said: str, broken: int) -> None:
    bench.script(DRY_RUN + said.replace('\\"', '"') + "\n")
    transfer = bench.transfer(operation="sync", dry_run=True)
    final = list(transfer.readings())[-1]
    outcome = transfer.outcome()
    assert (outcome.succeeded, outcome.plan, outcome.exit_code) == (False, None, 0)
    assert outcome.reason is not None
    assert outcome.reason.startswith("Part of rclone's output could not be read")
    assert transfer.unreadable_lines == broken
    assert final is None or final.percent != 100.0


def test_dry_run_that_can_be_read_makes_a_plan(bench) -> None:
    bench.script(
        DRY_RUN + "deleted('b'); print('a word from outside', file=sys.stderr); ended(2)\n"
    )
    outcome, _ = bench.run(operation="sync", dry_run=True)
    assert outcome.succeeded
    assert outcome.plan is not None
    assert outcome.plan.deletes == 2


def test_lines_that_cannot_be_read_are_counted_of_all_tries_and_logged(bench) -> None:
    bench.script("os.write(2, b'{torn\\n{again\\n'); sys.exit(5)\n")
    options = Options(retries=1)
    source, destination = (str(bench.folder / name) for name in ("from", "to"))
    order = TransferOrder(7, 1, "copy", source, destination, None, False, options=options)
    run = Run(bench.rclone, order, backoff=0.01)
    try:
        list(run.readings())
    finally:
        run.close()
    assert run.outcome().found.unreadable_lines == 4
    said = [line.message for line in run.take_log()[0] if line.level == "error"]
    assert len([one for one in said if one.startswith("A line of rclone's log cannot")]) == 4


# --- a real rclone ------------------------------------------------------------------------------


def _synced(
    bench, tmp_path: Path, secret: str, operation: str = "sync"
) -> tuple[Outcome, RcloneProcess]:
    """A dry run between two folders, of a remote whose password is the secret."""
    remote = Remote("there", "alias", {"remote": str(tmp_path / "to")}, frozenset({secret}))
    # No storage of ours is an alias, so that none may reach a folder of this machine.
    bench.wrap('exec RCLONE "$@"')
    order = TransferOrder(
        7, 1, operation, str(tmp_path / "from"), "there:", None, True, remotes=(remote,)
    )
    transfer = RcloneProcess(ProcessSettings(bench.rclone, bench.folder), order)
    bench.started.append(transfer)
    transfer.start()
    list(transfer.readings())
    return transfer.outcome(), transfer


@pytest.mark.parametrize("secret", SPOILING)
def test_real_plan_names_each_deletion_whatever_the_password(
    bench, tmp_path: Path, secret: str
) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    names = ["a", "b 2048", f"c {secret.replace('/', '_')}", 'd "q" \\ \n\x07', "e" * 255]
    for name in names:
        (tmp_path / "to" / name).write_bytes(b"x" * 2048)
    outcome, _ = _synced(bench, tmp_path, secret)
    assert outcome.plan is not None, outcome.reason
    assert (outcome.plan.deletes, outcome.plan.delete_bytes) == (5, 5 * 2048)
    # Of three signs and less nothing is masked: they stand in innocent words.
    shown = [one.name for one in outcome.plan.first_deletes]
    assert secret not in "".join(shown) or len(secret) < 4


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_real_count_of_rclone_agrees_with_what_it_names(
    bench, tmp_path: Path, operation: str
) -> None:
    for name, side in (("new", "from"), ("same", "from"), ("same", "to"), ("old", "to")):
        (tmp_path / side / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / side / "deep" / name).write_text(name)
        os.utime(tmp_path / side / "deep" / name, (1e9, 1e9))
    (tmp_path / "to" / "empty").mkdir()
    outcome, transfer = _synced(bench, tmp_path, "nothing", operation)
    assert outcome.succeeded, outcome.reason
    counted, plan_builder = transfer._running[1].statistics, transfer._plan_builder
    assert (counted.transfers, counted.deletes) == (plan_builder.transfers, plan_builder.removals)
    assert (plan_builder.transfers, plan_builder.removals) == (
        1,
        {"copy": 0, "sync": 1, "move": 1}[operation],
    )


def test_names_that_are_not_utf8_are_planned_and_counted(bench, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    for name in (b"\xff", b"caf\xe9", b"\x01", b"plain"):
        Path(os.fsdecode(os.fsencode(tmp_path / "to") + b"/" + name)).touch()
    outcome, _ = _synced(bench, tmp_path, "nothing")
    assert outcome.plan is not None
    assert outcome.plan.deletes == 4


def test_figures_of_many_files_with_long_names_are_read(bench, tmp_path: Path) -> None:
    folder = tmp_path / "from"
    for _ in range(14):
        folder = folder / ("ñ" * 120)
    folder.mkdir(parents=True)
    for number in range(32):
        (folder / f"{number:02}").write_bytes(b"x" * 100_000)
    order = TransferOrder(
        7, 1, "copy", str(tmp_path / "from"), str(tmp_path / "to"), "900k", False,
        options=Options(transfers=32),
    )  # fmt: skip
    transfer = RcloneProcess(ProcessSettings(bench.rclone, bench.folder), order)
    bench.started.append(transfer)
    transfer.start()
    busiest = max(
        (len(one.current_files) for one in transfer.readings() if one is not None), default=0
    )
    assert transfer.outcome().succeeded
    assert busiest >= 2
    assert transfer.unreadable_lines == 0


# --- listings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output",
    [
        r'[\n{"Path":"a","Name":"a","Size":1,"IsDir":false},\n{"Path":"b","Na',
        r'[\n{"Path":"a","Name":"a","Size":1,"IsDir":false},\n{"Path":7}\n]\n',
        r'[\n{"Path":"a","Name":"a","Size":1,"IsDir":false}\n',
        "",
    ],
)
def test_listing_that_cannot_be_read_whole_says_so(bench, output: str) -> None:
    bench.script(f"os.write(1, b'{output}')\n")
    remote = Remote("there", "alias", {"remote": "/"})
    listing = list_folder(bench.rclone, remote, "", seconds=10)
    assert listing.problem is not None
    assert "could not be read" in listing.problem


def test_line_without_words_says_nothing() -> None:
    assert parse(b"{}") == LogRecord()
