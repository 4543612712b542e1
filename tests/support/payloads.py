"""What attackers type."""

from __future__ import annotations

from pathlib import Path


def payloads(canary: Path) -> list[str]:
    touch = f"touch {canary}"
    return [
        f"; {touch}", f"$({touch})", f"`{touch}`", f"| {touch}", f"&& {touch}", f"\n{touch}\n",
        f"' ; {touch} ; '", f'" ; {touch} ; "', f"%0a{touch}", f"${{IFS}}{touch}",
        f":sftp,ssh='{touch}':/", f":sftp,ssh=\"sh -c '{touch}'\":x", f"sftp,ssh={touch}:/",
        f":webdav,bearer_token_command='{touch}':", f"webdav,bearer_token_command='{touch}':/x",
        f":local,metadata_mapper='{touch}':/", f":alias,remote=':sftp,ssh={touch}:':",
        f":union,upstreams=':sftp,ssh={touch}:':", ":http,url='http://127.0.0.1/':", ":memory:x",
        "--config=/etc/passwd", "--config", f"--password-command={touch}", f"--rc-serve={canary}",
        f"--log-file={canary}", f"--metadata-mapper={touch}", "--sftp-ssh=x", "-v", "--",
        "-", "--dump=headers", f"--backup-dir={canary}", "--files-from=/etc/passwd", "--links",
        "remote:path", "remote:", ":", "::", ":local:/etc", "RCLONE_CONFIG=/etc/passwd",
        f"=cmd|'/C {touch}'!A0", "~root", "$HOME", "%PATH%", "file:///etc/passwd",
        "//etc/passwd/../..",
    ]  # fmt: skip
