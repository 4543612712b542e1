"""Front-end libraries for the portal: `python hatch_build.py` vendors them, a build packs them.

They come from npm by package-lock.json and go to static/vendor/, which git ignores: as they are,
without source maps, with their licences, and gzipped beside each. Only the standard library is
needed, because `make run` calls this on a bare machine.
"""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "static" / "vendor"
STAMP = VENDOR / "vendor.sha256"

SCRIPTS_AND_STYLES = {
    "tabler.min.css": "node_modules/@tabler/core/dist/css/tabler.min.css",
    "htmx.min.js": "node_modules/htmx.org/dist/htmx.min.js",
    "idiomorph-ext.min.js": "node_modules/idiomorph/dist/idiomorph-ext.min.js",
    "socket.io.esm.min.js": "node_modules/socket.io-client/dist/socket.io.esm.min.js",
    "uPlot.iife.min.js": "node_modules/uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "node_modules/uplot/dist/uPlot.min.css",
}
LICENCES = {
    "tabler.LICENCE.txt": "licences/tabler.txt",  # Its package carries none.
    "htmx.LICENCE.txt": "node_modules/htmx.org/LICENSE",
    "idiomorph.LICENCE.txt": "node_modules/idiomorph/LICENSE",
    "socket.io.LICENCE.txt": "node_modules/socket.io-client/LICENSE",
    "uPlot.LICENCE.txt": "node_modules/uplot/LICENSE",
}
# For the type checker alone; no wheel carries it.
TYPES = {"socket.io.esm.min.d.ts": "static/js/lib/socket.io.d.ts"}
# What the installed portal reads from its own folder, and of which kinds. Nothing else is packed,
# whatever lies about there.
PACKED_FOLDERS = ("migrations", "static", "templates")
PACKED_KINDS = {
    ".css", ".gz", ".html", ".ico", ".js", ".json", ".mako", ".png", ".py", ".svg", ".txt",
    ".webmanifest", ".woff2", ".xml",
}  # fmt: skip

# A browser with its developer tools open asks for the map, which is not there.
SOURCE_MAP = re.compile(rb"\n?(?://# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$")


def vendor(*, dev: bool = False) -> None:
    """Make static/vendor/ what package-lock.json says; with `dev`, node_modules/ as well."""
    if dev or not vendored():
        install_modules(dev=dev)
    if not vendored():
        copy_to_vendor()


def vendored() -> bool:
    expected = [name + suffix for name in SCRIPTS_AND_STYLES for suffix in ("", ".gz")]
    return (
        STAMP.is_file()
        and STAMP.read_text().strip() == fingerprint()
        and all((VENDOR / name).is_file() for name in [*expected, *LICENCES, *TYPES])
    )


def fingerprint() -> str:
    sources = (ROOT / "package-lock.json", Path(__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def install_modules(*, dev: bool) -> None:
    if modules_match_lock(dev=dev):
        return
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(
            "npm is not installed, and the front end needs it once. Install Node.js 20 or newer "
            "with npm (on Debian and Ubuntu: apt install nodejs npm) and start again."
        )
    command = [npm, "ci", "--no-progress", "--loglevel=error", *([] if dev else ["--omit=dev"])]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit("npm could not install the front-end packages; its own words are above.")


def modules_match_lock(*, dev: bool) -> bool:
    try:
        installed = json.loads((MODULES / ".package-lock.json").read_bytes())["packages"]
    except (FileNotFoundError, ValueError):
        return False
    locked = json.loads((ROOT / "package-lock.json").read_bytes())["packages"]
    return all(
        installed.get(name, {}).get("integrity") == package["integrity"]
        for name, package in locked.items()
        if name and not package.get("optional") and (dev or not package.get("dev"))
    )


def copy_to_vendor() -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for name, source in (LICENCES | TYPES).items():
        (VENDOR / name).write_bytes((ROOT / source).read_bytes())
    for name, source in SCRIPTS_AND_STYLES.items():
        content = SOURCE_MAP.sub(b"\n", (ROOT / source).read_bytes())
        (VENDOR / name).write_bytes(content)
        (VENDOR / f"{name}.gz").write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    STAMP.write_text(f"{fingerprint()}\n")  # Last, so that half a copy is never taken for one.


def packed_files() -> Iterator[tuple[Path, str]]:
    """Files beside the package that a wheel carries, each with its place in it."""
    yield ROOT / "manage.py", "portal/_root/manage.py"
    for folder in PACKED_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            parts = path.relative_to(ROOT).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if path.is_file() and path.suffix in PACKED_KINDS and not hidden:
                yield path, "/".join(("portal/_root", *parts))


if __name__ == "__main__":
    vendor(dev="--dev" in sys.argv[1:])
else:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class VendorHook(BuildHookInterface[Any]):
        """Called by hatchling for each target before it packs."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            vendor()
            if self.target_name == "wheel" and version != "editable":
                build_data["force_include"].update({str(p): name for p, name in packed_files()})
