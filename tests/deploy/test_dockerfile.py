"""The Dockerfile: its commands, run one after another in clean folders, make a portal that runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from portal import __version__
from tests.browser.portal_server import ROOT

INSTALLED = "/opt/transfer-portal"


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def tracked() -> list[str]:
    """What a build is given: what git knows, as far as .dockerignore lets it through."""
    ignore = (ROOT / ".dockerignore").read_text().split()
    let_through = {line[1:] for line in ignore if line.startswith("!")}
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = os.fsdecode(listed.stdout).split("\0")
    return [name for name in names if name.split("/")[0] in let_through and (ROOT / name).exists()]


class Build:
    """Does what the stages say, each in a folder of its own in place of an image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed = folder / "opt"
        self.stage = ""
        self.work = folder

    def obey(self, word: str, rest: str) -> None:
        match word:
            case "FROM":
                self.stage = rest.rsplit(maxsplit=1)[-1]
            case "WORKDIR":
                self.work = self._place(self.stage, rest)
                self.work.mkdir(parents=True)
            case "COPY" if self.stage in ("front", "build"):
                self._copy(rest.split())
            case "RUN":
                command = rest.replace(INSTALLED, shlex.quote(str(self.installed)))
                environment = {k: v for k, v in os.environ.items() if not k.startswith("PORTAL_")}
                environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
                shell = ["sh", "-c", command]
                done = subprocess.run(shell, cwd=self.work, env=environment, capture_output=True)
                assert done.returncode == 0, f"{command}\n{done.stdout!r}{done.stderr!r}"

    def _place(self, stage: str, path: str) -> Path:
        return self.folder / stage / path.lstrip("/")

    def _copy(self, words: list[str]) -> None:
        *sources, target = [word for word in words if not word.startswith("--")]
        stage = next((w.partition("=")[2] for w in words if w.startswith("--from=")), None)
        if stage:
            shutil.copytree(self._place(stage, sources[0]), self.work / target, symlinks=True)
            return
        names = tracked() if sources == ["."] else sources
        assert set(names) <= set(tracked())
        for name in names:
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.work / name)


@pytest.mark.slow
def test_commands_of_the_dockerfile_make_a_portal_that_runs(tmp_path: Path) -> None:
    build = Build(tmp_path)
    for word, rest in instructions():
        build.obey(word, rest)

    told = subprocess.run(
        [str(build.installed / "bin" / "portal"), "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert __version__ in told.stdout, told.stderr
    (root,) = build.installed.glob("lib/python*/site-packages/portal/_root")
    assert (root / "static" / "vendor" / "htmx.min.js").is_file()
    assert (root / "migrations" / "env.py").is_file()


def test_image_runs_as_nobody_in_particular_and_ends_by_sigterm() -> None:
    found = dict(instructions())

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["USER"])
    assert found["STOPSIGNAL"] == "SIGTERM"
    assert found["ENTRYPOINT"] == '["portal"]'
