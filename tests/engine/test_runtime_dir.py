"""Folders that a dead portal has left are removed; those of living ones stay."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from portal.engine.order import runtime_dir
from portal.engine.order.runtime_dir import RuntimeDir


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("owner", [None, "", "a living one"])
def test_folder_that_is_just_being_made_or_in_use_stays(place: Path, owner: str | None) -> None:
    """A portal that starts meanwhile looks at it in any moment."""
    folder = RuntimeDir().folder
    if owner is None:
        (folder / "owner").unlink()
    elif not owner:
        (folder / "owner").write_text("")
    runtime_dir.sweep_runtime_dirs()
    assert folder.is_dir()


@pytest.mark.parametrize("container", ["this", "another"])
def test_folder_of_a_dead_process_goes_unless_another_container_has_made_it(
    place: Path, container: str
) -> None:
    folder = RuntimeDir().folder
    namespace = (folder / "owner").read_text().split(" ")[0]
    number = namespace if container == "this" else f"{namespace}1"
    (folder / "owner").write_text(f"{number} 4194304:1")
    runtime_dir.sweep_runtime_dirs()
    assert folder.exists() is (container == "another")


def test_owner_is_there_in_one_step(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    write = Path.write_text

    def written(self: Path, *data: str) -> int:
        done = write(self, *data)
        seen.append(self.name)
        return done

    monkeypatch.setattr(Path, "write_text", written)
    folder = RuntimeDir().folder
    assert "owner" not in seen
    assert (folder / "owner").read_text()
