"""Names of marker files: those that show whether two names are one place."""

from __future__ import annotations

#: Names that begin so are never copied, deleted, listed or counted.
PREFIX = ".transfer-portal-probe-"
RULE = f"- {PREFIX}*"


def is_marker(name: str) -> bool:
    return PREFIX in name and name.rpartition("/")[2].startswith(PREFIX)
