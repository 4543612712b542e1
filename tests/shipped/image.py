"""The Dockerfile without Docker: its commands, as they stand there, one after another in clean
folders that take the place of images."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.shipped.environment import ROOT

#: Where the environment lies in the image. It cannot be moved, so that it has another name here.
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


class Image:
    """``command`` and ``environment`` are those of a container, whose folders are here. What was
    built in the same folder before, by another process say, is taken as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.installed = folder / "opt"
        self.command: list[str] = []
        self.environment: dict[str, str] = {}
        self.volumes: list[str] = []
        self._stage = ""
        self._work = folder
        self._is_built = False

    def build(self) -> Image:
        self.folder.mkdir(exist_ok=True)
        with self.folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            complete = self.folder / "complete"
            self._is_built = complete.exists()
            for word, rest in instructions():
                self._execute(word, rest)
            complete.touch()  # Last, so that half of one is never taken for it.
        return self

    def place(self, path: str, stage: str | None = None) -> Path:
        """Where a path of a stage lies here; without one, of the image itself."""
        if path.startswith(INSTALLED):
            return self.installed / path.removeprefix(INSTALLED).lstrip("/")
        return self.folder / (stage or self._stage) / path.lstrip("/")

    def _execute(self, word: str, rest: str) -> None:
        match word:
            case "FROM":
                base, *name = rest.split(" AS ")
                self._stage = name[0] if name else f"image of {base.replace(':', ' ')}"
                self._work = self.place("/")
                self._work.mkdir(exist_ok=self._is_built)
            case "WORKDIR":
                self._work = self.place(rest)
                self._work.mkdir(parents=True, exist_ok=self._is_built)
            case "COPY" | "RUN" if self._is_built:
                pass
            case "COPY":
                self._copy(rest.split())
            case "RUN":
                self._run(rest)
            case "ENV":
                self.environment |= dict(self._variable(word) for word in shlex.split(rest))
            case "VOLUME":
                self.volumes = json.loads(rest)
            case "ENTRYPOINT" | "CMD":
                self.command += json.loads(rest)
            case "USER" | "EXPOSE" | "STOPSIGNAL" | "LABEL" | "HEALTHCHECK":
                pass  # Nothing is done by them while an image is built.
            case _:
                raise AssertionError(f"{word} is not known here")

    def _run(self, command: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "COV"))}
        environment = {**inherited, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        here = command.replace(INSTALLED, shlex.quote(str(self.installed)))
        shell = ["sh", "-c", here]
        done = subprocess.run(shell, cwd=self._work, env=environment, capture_output=True)
        assert done.returncode == 0, f"{command}\n{done.stdout!r}{done.stderr!r}"

    def _copy(self, words: list[str]) -> None:
        *sources, target = [word for word in words if not word.startswith("--")]
        stage = next((w.partition("=")[2] for w in words if w.startswith("--from=")), None)
        if stage:
            source = self.place(sources[0], stage)
            goal = self._work / target if not target.startswith("/") else self.place(target)
            if source != goal:
                shutil.copytree(source, goal, symlinks=True)
            return
        names = tracked() if sources == ["."] else sources
        assert set(names) <= set(tracked())
        for name in names:
            (self._work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self._work / name)

    def _variable(self, word: str) -> tuple[str, str]:
        """Its folders are where they are here; those it inherits come from the tests' machine."""
        name, _, value = word.partition("=")
        if name == "PATH":
            value = value.replace(INSTALLED, str(self.installed))
            return name, value.replace("$PATH", os.environ["PATH"])
        return name, str(self.place(value)) if value.startswith("/") else value
