"""A remote storage as rclone gets to know it: by its environment and by nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portal.engine.errors import EngineError
from portal.engine.process import egress_proxy

# No underscore: otherwise a variable of one remote could be taken for that of another.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_PARAMETER = re.compile(r"[a-z0-9][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Remote:
    """``parameters`` by rclone's names, passwords obscured as rclone wants them. ``secrets`` are
    texts that must not be repeated, whatever rclone says. ``confined``: its rclone goes through the
    egress proxy, which lets nothing reach this machine. ``refused``: networks that it does not let
    it reach either."""

    name: str
    backend: str
    parameters: Mapping[str, str] = field(repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    confined: bool = False
    refused: tuple[str, ...] = ()


def variables(remote: Remote) -> dict[str, str]:
    """The environment variables of the remote. Raises EngineError for one that rclone must not
    get."""
    if not _NAME.fullmatch(remote.name):
        raise EngineError("The name of a remote is not one that rclone can be told.")
    begin = f"RCLONE_CONFIG_{remote.name.upper()}_"
    result = {f"{begin}TYPE": remote.backend}
    for name, value in remote.parameters.items():
        if not _PARAMETER.fullmatch(name) or "\0" in value:
            raise EngineError(f"The remote {remote.name} has a setting that rclone cannot be told.")
        result[begin + name.upper()] = value
    return result


def beginning(setpriv: str, rclone: Path, remotes: Iterable[Remote]) -> list[str]:
    """The beginning of a command line: it starts rclone, ends it with the portal, and confines
    it."""
    through = [remote for remote in remotes if remote.confined or remote.refused]
    fence = [sys.executable, "-I", "-S", egress_proxy.__file__] if through else []
    fence += egress_proxy.options(
        allow_local=bool(through) and not any(remote.confined for remote in through),
        networks=dict.fromkeys(network for remote in through for network in remote.refused),
    )
    return [setpriv, "--pdeathsig", "TERM", "--", *fence, str(rclone)]


def address(remote: Remote, path: str) -> str:
    """Its name in a command line."""
    return f"{remote.name}:{path}"
