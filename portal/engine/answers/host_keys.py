"""Learns the host key of an SFTP server: rclone trusts the first one and writes it down."""

from __future__ import annotations

from collections.abc import Callable
from configparser import ConfigParser, Error
from pathlib import Path

from portal.engine.answers.listing import Listing, list_folder
from portal.engine.order.remotes import Remote
from portal.engine.order.runtime_dir import RuntimeDir


def list_and_learn(
    rclone: Path,
    remote: Remote,
    path: str,
    *,
    seconds: float,
    is_unwanted: Callable[[], bool] = lambda: False,
) -> tuple[Listing, str]:
    """As ``list_folder``, of an SFTP remote without host keys. Returns the key that the server has
    shown as well, as ``algorithm key``; an empty text if no connection came about."""
    runtime_dir = RuntimeDir()
    try:
        file = runtime_dir.folder / "learned" / "rclone.conf"
        file.parent.mkdir(mode=0o700)
        # Its options reach rclone by the environment; rclone keeps nothing of a section that is
        # not there.
        file.write_text(f"[{remote.name}]\ntype = {remote.backend}\n", encoding="utf-8")
        listing = list_folder(
            rclone, remote, path, seconds=seconds, is_unwanted=is_unwanted, learned=file
        )
        return listing, _host_keys(file, remote.name)
    finally:
        runtime_dir.remove()


def _host_keys(file: Path, name: str) -> str:
    settings = ConfigParser(interpolation=None)
    try:
        settings.read_string(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, Error):
        return ""
    return settings.get(name, "host_keys", fallback="")
