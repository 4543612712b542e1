"""Looking for a folder: within one's rights, page by page, and making a new one."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from portal.db.session import session
from portal.models import AuditEntry
from portal.services.storage.folders import PAGE_SIZE
from tests.support.client import Browser
from tests.support.files import NAMES
from tests.support.remotes import KINDS
from tests.support.storages import Storage


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


def look(person: Browser, at: str, **query: Any) -> str:
    answer = person.get("/browse", query_string={"at": at, **query})
    assert answer.status_code == 200
    return str(answer.text)


def shown(fragment: str) -> list[str]:
    """Names of entries, in their order."""
    found = re.findall(r'class="browse-name[^"]*">([^<]*)<', fragment)
    return [html.unescape(name) for name in found]


def audited() -> list[str]:
    session.remove()
    created = select(AuditEntry).where(AuditEntry.action == "folder.create")
    entries = session.scalars(created.order_by(AuditEntry.id))
    found = [entry.target for entry in entries]
    session.remove()
    return found


def test_looking_begins_with_the_roots_and_the_remotes_one_may_use(
    bob: Browser, browser: Any, new_remote: Any, root: Path
) -> None:
    options = {"host": "127.0.0.1", "user": "bob", "pass": "a password"}
    new_remote("nas", "sftp", options, start="shared")
    new_remote("vault", "sftp", options, role="admin")
    assert shown(look(bob, "")) == [str(root), "nas:shared"]
    assert shown(look(browser("alice"), "")) == [str(root), "nas:shared", "vault:"]
    assert "No remote named “vault” is available" in look(bob, "vault:")


def test_local_folder_shows_folders_first_and_no_links(bob: Browser, root: Path) -> None:
    for name in ("b folder", "a folder"):
        (root / name).mkdir()
    (root / "file <b>.txt").write_bytes(b"x" * 2048)
    (root / "link").symlink_to("/etc")
    page = look(bob, str(root), side="source")
    assert shown(page) == ["a folder", "b folder", "file <b>.txt"]
    assert "2.0 KiB" in page
    assert f'data-choose="{root}/file &lt;b&gt;.txt"' in page
    assert f'data-choose="{root}/file' not in look(bob, str(root), side="destination")


def test_outside_of_the_roots_nothing_is_shown(bob: Browser, root: Path) -> None:
    for at in ("/etc", f"{root}/../..", "/", "relative", ":local:/etc", "--config=x", "x" * 5000):
        page = look(bob, at)
        assert 'role="alert"' in page
        assert shown(page) == [str(root)]
        assert "passwd" not in page


def test_ten_thousand_entries_come_page_by_page_and_by_name(bob: Browser, root: Path) -> None:
    many = root / "many"
    many.mkdir()
    for number in range(10_000):
        (many / f"entry {number:05}").touch()
    first = look(bob, str(many))
    assert len(shown(first)) == PAGE_SIZE
    assert "10,000 entries" in first
    more = re.search(r'hx-get="([^"]+page=2[^"]*)"', first)
    assert more is not None
    second = bob.get(html.unescape(more[1])).text
    assert shown(second)[0] == f"entry {PAGE_SIZE:05}"
    assert "browse-trail" not in second
    assert shown(look(bob, str(many), q="99", part="rows"))[0] == "entry 00099"
    last = look(bob, str(many), page=50)
    assert shown(last)[-1] == "entry 09999"
    assert "Show more" not in last


@pytest.mark.parametrize("kind", KINDS)
def test_storage_shows_its_folders_and_files_whatever_they_are_called(
    bob: Browser, new_remote: Any, storages: Callable[[str], Storage], kind: str
) -> None:
    new_remote("there", kind, storages(kind).options())
    assert "outbox" in shown(look(bob, "there:"))
    names = {name.split("/")[0] for name in NAMES}
    found = set(shown(look(bob, "there:outbox", side="source")))
    assert names <= found | {name.encode().decode() for name in found}
    assert "Nothing is here yet." in look(bob, "there:outbox/no such folder")


def test_storage_that_is_away_says_so(
    bob: Browser, new_remote: Any, storages: Callable[[str], Storage]
) -> None:
    new_remote("away", "webdav", storages("webdav").options(port=1))
    page = look(bob, "away:folder")
    assert "refuses the connection" in page
    assert "Choose this folder" in page, "the path may be right all the same"


def test_new_folder_is_made_and_in_the_audit_log(
    bob: Browser, new_remote: Any, storages: Callable[[str], Storage], root: Path
) -> None:
    made = bob.post("/browse/folders", {"at": str(root), "name": " new & old "})
    assert made.status_code == 201
    assert (root / "new & old").is_dir()
    new_remote("there", "sftp", storages("sftp").options())
    made = bob.post("/browse/folders", {"at": "there:outbox", "name": "100 %"})
    assert made.status_code == 201
    assert (storages("sftp").folder / "outbox" / "100 %").is_dir()
    assert audited() == [f"{root}/new & old", "there:outbox/100 %"]


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", "two\nlines", "x" * 256])
def test_wrong_name_of_a_folder_is_said_beside_it(bob: Browser, root: Path, name: str) -> None:
    answer = bob.post("/browse/folders", {"at": str(root), "name": name})
    assert answer.status_code == 422
    assert 'id="browse-name-error"' in answer.text
    assert list(root.iterdir()) == []


def test_folder_that_exists_or_lies_outside_is_not_made(bob: Browser, root: Path) -> None:
    (root / "here").mkdir()
    assert bob.post("/browse/folders", {"at": str(root), "name": "here"}).status_code == 422
    assert bob.post("/browse/folders", {"at": "/etc", "name": "owned"}).status_code == 422
    assert bob.post("/browse/folders", {"at": "vault:", "name": "owned"}).status_code == 422
    assert audited() == []


def test_viewers_look_at_nothing(browser: Any, root: Path) -> None:
    charlie = browser("charlie")
    assert charlie.get("/browse").status_code == 403
    assert charlie.post("/browse/folders", {"at": str(root), "name": "x"}).status_code == 403
