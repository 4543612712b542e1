"""Whether a marker shows that the source of a sync, which is not written to, lies in the
destination."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal.engine.answers.questions import NoAnswer
from portal.engine.markers import PREFIX
from portal.engine.safety.ends import LocalFolder
from portal.engine.safety.marker_journal import Journal
from portal.engine.safety.probe import NOT_WRITTEN, Probe, ProbeResult

PROVEN = ProbeResult()
ONE_PLACE = ProbeResult(one_place=True)
UNPROVEN = ProbeResult(unproven=NOT_WRITTEN)


class ReadOnly(LocalFolder):
    def write(self, name: str, content: bytes) -> None:
        raise NoAnswer("permission denied")


class Unreadable(ReadOnly):
    def names(self) -> dict[str, int] | None:
        return None


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """It holds a folder of the name that the source has."""
    folder = tmp_path / "to"
    (folder / "photos" / "2026").mkdir(parents=True)
    (folder / "photos" / "a.jpg").write_bytes(b"12345")
    return folder


def result(source: LocalFolder, destination: Path) -> ProbeResult:
    probe = Probe(
        source,
        LocalFolder(str(destination)),
        cross=False,
        exact=False,
        new=False,
        journal=Journal(None),
    )
    try:
        return probe.run()
    finally:
        assert probe.remove() == []
        assert list(destination.rglob(f"{PREFIX}*")) == []


def another(tmp_path: Path, *files: tuple[str, bytes]) -> str:
    folder = tmp_path / "elsewhere" / "photos"
    (folder / "2026").mkdir(parents=True)
    for name, content in files:
        (folder / name).write_bytes(content)
    return str(folder)


def test_source_in_the_destination_under_another_name_is_found(destination: Path) -> None:
    link = destination.parent / "link"
    link.symlink_to(destination)
    assert result(LocalFolder(f"{link}/photos"), destination) == ONE_PLACE


def test_source_beside_a_folder_of_its_name_is_proven_to_be_another(
    tmp_path: Path, destination: Path
) -> None:
    source = another(tmp_path, ("a.jpg", b"12345"))
    assert result(LocalFolder(source), destination) == PROVEN


def test_source_that_no_folder_there_is_named_like_needs_no_marker(
    tmp_path: Path, destination: Path
) -> None:
    (tmp_path / "letters").mkdir()
    assert result(ReadOnly(str(tmp_path / "letters")), destination) == PROVEN


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((("a.jpg", b"12345"),), UNPROVEN),  # nothing tells them apart
        ((), UNPROVEN),
        ((("a.jpg", b"123"),), PROVEN),  # another size
        ((("b.jpg", b"12345"),), PROVEN),  # another name
    ],
)
def test_source_that_cannot_be_written_to_is_told_apart_by_its_files_or_not_at_all(
    tmp_path: Path, destination: Path, files: tuple[tuple[str, bytes], ...], found: ProbeResult
) -> None:
    assert result(ReadOnly(another(tmp_path, *files)), destination) == found


def test_source_that_cannot_even_be_listed_proves_nothing(
    tmp_path: Path, destination: Path
) -> None:
    assert result(Unreadable(another(tmp_path, ("b.jpg", b"1"))), destination) == UNPROVEN


def test_folder_says_why_it_cannot_be_written_read_or_listed(tmp_path: Path) -> None:
    gone = LocalFolder(str(tmp_path / "gone"))
    for act in (lambda: gone.write("a", b""), lambda: gone.digest("a")):
        with pytest.raises(NoAnswer, match="no such file or directory"):
            act()
    (tmp_path / "a").mkdir()
    with pytest.raises(NoAnswer, match="is a directory"):
        LocalFolder(str(tmp_path)).remove("a")
    assert gone.names() is None
    assert gone.find("a") is None
