"""The options as rclone's flags. Each is one word ``--flag=value``, made of a typed value."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from portal.engine.order.comparison import Comparison
from portal.transfers.options import Options


def of_filters(options: Options, rules: Path | None, moment: float) -> list[str]:
    """The flags of the filters. Ages are counted from ``moment``: a second look at the same files
    leaves out the same ones."""
    flags = [f"--filter-from={rules}"] if rules else []
    if options.min_age:
        youngest = datetime.fromtimestamp(moment - options.min_age, UTC)
        flags.append(f"--min-age={youngest:%Y-%m-%dT%H:%M:%S.%fZ}")
    if options.max_size:
        flags.append(f"--max-size={options.max_size}B")
    return flags


def of_copying(options: Options, comparison: Comparison | None) -> list[str]:
    # Errors that may pass are the portal's to count: rclone would begin again after any other too,
    # and at once.
    flags = ["--retries=1", f"--transfers={options.transfers}"]
    if comparison is not None:
        return [*flags, *comparison.flags]
    return [*flags, "--checksum"] if options.checksum else flags


def of_control(path: Path | None) -> list[str]:
    # No password: a program that can reach the socket runs as this user and could read it.
    return ["--rc", f"--rc-addr=unix://{path}", "--rc-no-auth"] if path else []
