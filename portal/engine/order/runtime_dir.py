"""A private folder for one rclone: its filter rules and its control socket."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from portal.engine.order import single_file_rules
from portal.engine.process.processes import process_identity, process_lives
from portal.transfers.options import Options

_PREFIX = "transfer-portal-"
_OWNER = "owner"
#: The kernel takes no longer name of a socket than 107 bytes.
_LONGEST_SOCKET = 100


class RuntimeDir:
    """Made on entry of a transfer, gone with it. ``tempfile`` gives it mode 0700."""

    def __init__(self) -> None:
        """Raises OSError if there is no room for it."""
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # In one step: a portal that starts in this moment reads it, and removes what nobody owns.
        unnamed = self.folder / f".{_OWNER}"
        unnamed.write_text(f"{_namespace()} {process_identity()}")
        unnamed.replace(self.folder / _OWNER)

    @property
    def socket(self) -> Path | None:
        """Path of rclone's control socket; None if it would be too long for a socket."""
        path = self.folder / "rc"
        return path if len(bytes(path)) <= _LONGEST_SOCKET else None

    def filters(
        self, options: Options, only: str | None = None, first: tuple[str, ...] = ()
    ) -> Path | None:
        """The rules in a file, where rclone takes no line for an option; None without rules.
        ``only``: the name of the one file that may be taken. ``first``: rules that come before all
        others."""
        rules = [*first] if only is None else [*first, *single_file_rules.rules(only)]
        rules += [f"- {pattern}" for pattern in options.exclude]
        # An exclude rule for a folder covers everything in it; an include rule does not.
        rules += [f"+ {one}**" if one.endswith("/") else f"+ {one}" for one in options.include]
        if options.include:
            rules.append("- **")
        if not rules:
            return None
        path = self.folder / "filters"
        path.write_text("\n".join(rules) + "\n", encoding="utf-8")
        return path

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep_runtime_dirs() -> None:
    """Removes those that a process which is dead has left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            namespace, _, identity = (folder / _OWNER).read_text().partition(" ")
        except OSError:
            continue  # It is not ours, or belongs to somebody else.
        # Of a process of another container that shares this folder nobody here knows.
        if namespace == _namespace() and identity and not process_lives(identity):
            shutil.rmtree(folder, ignore_errors=True)


def _namespace() -> str:
    """In which numbers of processes mean the same."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)
