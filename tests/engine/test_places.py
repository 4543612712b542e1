"""Keys of places: two of which one begins with the other are the same place, or one holds it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.engine.safety import places
from portal.engine.safety.places import Mount, mounts, of_local, of_mounts_below, of_remote, overlap

SFTP = {"host": "nas.lan", "user": "bob"}

REMOTES = [
    # backend, parameters, path, key
    ("sftp", SFTP, "", "sftp:nas.lan:22/"),
    ("sftp", SFTP, "/", "sftp:nas.lan:22/"),
    ("sftp", SFTP, "photos", "sftp:nas.lan:22/photos/"),
    ("sftp", SFTP, "/photos/", "sftp:nas.lan:22/photos/"),
    ("sftp", SFTP, "photos//2024/./x/..", "sftp:nas.lan:22/photos/2024/"),
    ("sftp", {"host": "NAS.lan.", "port": "22", "user": "eve"}, "a", "sftp:nas.lan:22/a/"),
    ("sftp", {"host": "nas.lan", "port": "2222"}, "a", "sftp:nas.lan:2222/a/"),
    ("sftp", {"host": "[FD00::1]"}, "a", "sftp:fd00::1:22/a/"),
    ("ftp", {"host": "nas.lan"}, "Über/ä b", "ftp:nas.lan:21/Über/ä b/"),
    ("ftp", {"host": "nas.lan", "tls": "true"}, "a", "ftp:nas.lan:990/a/"),
    ("smb", {"host": "NAS"}, "Share/Photos", "smb:nas:445/share/photos/"),
    ("smb", {"host": "NAS", "case_insensitive": "false"}, "Share/P", "smb:nas:445/Share/P/"),
    ("webdav", {"url": "https://Cloud.example/dav/"}, "a", "webdav:cloud.example:443/dav/a/"),
    ("webdav", {"url": "https://cloud.example:443/dav"}, "/a", "webdav:cloud.example:443/dav/a/"),
    ("webdav", {"url": "http://cloud.example"}, "dav/a", "webdav:cloud.example:80/dav/a/"),
    ("webdav", {"url": "http://h:8080/my%20files"}, "b", "webdav:h:8080/my files/b/"),
    ("s3", {"provider": "AWS", "region": "eu-west-1"}, "b/x", "s3:amazonaws.com:443/b/x/"),
    ("s3", {"endpoint": "https://s3.eu-west-1.amazonaws.com"}, "b", "s3:amazonaws.com:443/b/"),
    ("s3", {"endpoint": "http://Minio:9000/"}, "/b//x/", "s3:minio:9000/b/x/"),
    ("s3", {"endpoint": "minio.example"}, "b", "s3:minio.example:443/b/"),
    ("s3", {"endpoint": "s3.us-west-004.backblazeb2.com"}, "b", "b2:api.backblazeb2.com:443/b/"),
    ("b2", {"account": "x"}, "b", "b2:api.backblazeb2.com:443/b/"),
    (
        "s3",
        {"endpoint": "https://storage.googleapis.com"},
        "b",
        "gcs:storage.googleapis.com:443/b/",
    ),
    ("google cloud storage", {}, "b", "gcs:storage.googleapis.com:443/b/"),
    (
        "google cloud storage",
        {"endpoint": "http://h:4443/storage/v1/"},
        "b",
        "gcs:h:4443/storage/v1/b/",
    ),
    ("azureblob", {"account": "Acme"}, "c/x", "azure:acme.blob.core.windows.net:443/c/x/"),
    (
        "azureblob",
        {"sas_url": "https://acme.blob.core.windows.net/c?sv=1&sig=secret"},
        "c/x",
        "azure:acme.blob.core.windows.net:443/c/x/",
    ),
    (
        "azureblob",
        {"account": "dev", "endpoint": "http://127.0.0.1:10000/dev"},
        "c",
        "azure:127.0.0.1:10000/dev/c/",
    ),
    ("something new", {"host": "h"}, "a", "something new:/a/"),
    ("webdav", {"url": "https://h:port/x"}, "a", "webdav:https://h:port/x/a/"),
]


@pytest.mark.parametrize(("backend", "parameters", "path", "expected"), REMOTES)
def test_place_on_a_remote(
    backend: str, parameters: dict[str, str], path: str, expected: str
) -> None:
    assert of_remote(backend, parameters, path) == expected


OVERLAPS = [
    ("a", "a", True),
    ("a", "a/b", True),
    ("a/b", "a", True),
    ("", "a", True),
    ("a", "ab", False),
    ("a/b", "a/c", False),
    ("photos", "photos-old", False),
    ("a ", "a", False),
]


@pytest.mark.parametrize(("one", "other", "expected"), OVERLAPS)
def test_places_overlap_by_folder_and_not_by_letter(one: str, other: str, expected: bool) -> None:
    keys = [of_remote("sftp", SFTP, path) for path in (one, other)]
    assert overlap(*keys) is expected
    assert (keys[0] in places.holders(keys[1]) or keys[1] in places.holders(keys[0])) is expected


MOUNTS = """\
900021 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
900022 21 8:17 / /media/my\\040usb rw - vfat /dev/sdb1 rw
900023 21 8:1 /srv/data /mnt/bound rw - ext4 /dev/sda1 rw
900024 21 0:40 / /nas rw - nfs4 Filer.lan:/Export/ rw
900025 21 0:41 /part /nas-part rw - nfs filer.lan:/Export rw
900026 21 0:42 / /win rw - cifs //FILER/Share rw
900027 21 0:50 /@home /home rw - btrfs /dev/sdc rw
900028 21 0:50 /@home/bob /bob rw - btrfs /dev/sdc rw
900029 21 8:18 / /media/my\\040usb rw - ext4 /dev/sdd1 rw
"""

LOCAL = [
    ("/srv/data/x", "local:8:1:/srv/data/x/"),
    ("/mnt/bound/x", "local:8:1:/srv/data/x/"),
    ("/mnt/bound", "local:8:1:/srv/data/"),
    ("/", "local:8:1:/"),
    ("/mnt/bounded", "local:8:1:/mnt/bounded/"),
    ("/nas/a", "nfs:filer.lan:/Export/a/"),
    ("/nas-part/a", "nfs:filer.lan:/Export/part/a/"),
    ("/win/a", "cifs://filer/share/a/"),
    ("/home/bob/x", "local:0:50:/@home/bob/x/"),
    ("/bob/x", "local:0:50:/@home/bob/x/"),
    # Mounted over another: the later one is what is seen.
    ("/media/my usb/Photos", "local:8:18:/Photos/"),
]


@pytest.mark.parametrize(("path", "expected"), LOCAL)
def test_place_on_this_machine_by_a_table_of_mounts(path: str, expected: str) -> None:
    table = mounts(MOUNTS)
    assert places.mount_of(path, table).key(path) == expected


def test_disk_that_ignores_case_has_one_place_for_two_spellings() -> None:
    stick = Mount(1, "8:17", "/", "/media/usb", "vfat", "/dev/sdb1")
    assert stick.key("/media/usb/Photos") == stick.key("/media/usb/PHOTOS")


def test_link_and_what_does_not_exist_yet_lie_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert of_local(f"{tmp_path}/link/new/deep") == of_local(f"{tmp_path}/real/new/deep")
    assert of_local(f"{tmp_path}/real").startswith("local:")
    assert of_local(f"{tmp_path}/link/new").startswith(of_local(str(tmp_path)))
    assert of_local(f"{tmp_path}/real/") == of_local(f"{tmp_path}//real/./")


def test_place_of_a_single_file_lies_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert overlap(of_local(str(tmp_path / "file")), of_local(str(tmp_path)))
    assert not overlap(of_local(str(tmp_path / "file")), of_local(str(tmp_path / "file2")))


def test_name_that_is_no_text_gives_a_key_that_a_database_takes(tmp_path: Path) -> None:
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(strange).mkdir()
    of_local(strange).encode()


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A folder, and the same one mounted elsewhere."""
    folder, other = tmp_path / "folder", tmp_path / "elsewhere" / "other"
    (folder / "inner").mkdir(parents=True)
    other.mkdir(parents=True)
    done = subprocess.run(["mount", "--bind", folder, other], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("nobody but root may mount")
    yield folder, other
    subprocess.run(["umount", "-l", other], check=True)


def test_bind_mount_is_the_place_that_it_shows(bound: tuple[Path, Path]) -> None:
    folder, other = bound
    assert of_local(str(other)) == of_local(str(folder))
    assert of_local(str(other / "inner/new")) == of_local(str(folder / "inner/new"))
    assert overlap(of_local(str(other / "inner")), of_local(str(folder)))


def test_folder_that_holds_a_mount_holds_what_is_mounted(bound: tuple[Path, Path]) -> None:
    folder, other = bound
    below = of_mounts_below(str(other.parent))
    assert below == [of_local(str(folder))]
    assert of_mounts_below(str(folder)) == []
