"""rclone's own description of its backends and their options."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from portal.engine.answers.run_once import run_once
from portal.engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class BackendOption:
    """``kind`` as rclone calls it: string, bool, int, SizeSuffix, Duration … ``examples`` are pairs
    of a value and what it means."""

    name: str
    help: str
    kind: str
    default: str
    password: bool
    sensitive: bool
    required: bool
    advanced: bool
    examples: tuple[tuple[str, str], ...]


@cache
def options_of(rclone: Path) -> dict[str, dict[str, BackendOption]]:
    """Backend → option → what it is. Asked once; raises EngineError if rclone does not tell."""
    answer = run_once(rclone, ["config", "providers"], seconds=20, most=16 * 1024 * 1024)
    try:
        described: Any = json.loads(answer.output)
    except ValueError:
        raise EngineError(f"{rclone} does not tell which storages it knows.") from None
    return {
        backend["Name"]: {
            option["Name"]: _option(option) for option in reversed(backend["Options"])
        }
        for backend in described
    }


def _option(described: Any) -> BackendOption:
    examples = [(str(one["Value"]), str(one["Help"])) for one in described.get("Examples") or ()]
    return BackendOption(
        name=described["Name"],
        help=str(described["Help"]),
        kind=str(described["Type"]),
        default=str(described["DefaultStr"]),
        password=bool(described["IsPassword"]),
        sensitive=bool(described.get("Sensitive")),
        required=bool(described["Required"]),
        advanced=bool(described["Advanced"]),
        # rclone lists the same value once for each provider that has it.
        examples=tuple({value: (value, words) for value, words in reversed(examples)}.values())[
            ::-1
        ],
    )
