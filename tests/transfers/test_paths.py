"""A transfer touches nothing outside the allowed roots, however the path is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.transfers import local_paths
from portal.transfers.local_paths import PathRefused, Roots, nested


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    (root / "in").mkdir(parents=True)
    (tmp_path / "data2").mkdir()
    return root


def resolve(text, roots):
    return local_paths.resolve(text, Roots.of(roots))


def refused(text, roots):
    with pytest.raises(PathRefused) as caught:
        resolve(text, roots)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


def test_root_and_what_lies_below_are_allowed_whether_it_exists_or_not(data):
    assert resolve(str(data), [data]) == data
    assert resolve(f"{data}/in/", [data]) == data / "in"
    assert resolve(f"/{data}//./in/new/newer", [data]) == data / "in/new/newer"


def test_any_of_several_roots_will_do(data, tmp_path):
    assert resolve(f"{tmp_path}/data2/x", [data, tmp_path / "data2"]) == tmp_path / "data2/x"


def test_root_that_is_a_link_is_the_folder_it_leads_to(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    assert resolve(f"{tmp_path}/link/in", [tmp_path / "link"]) == data / "in"
    assert resolve(f"{data}/in", [tmp_path / "link"]) == data / "in"


def test_whole_machine_can_be_a_root(data):
    assert resolve(str(data), [Path("/")]) == data


@pytest.mark.parametrize("tail", ["2", "2/x", ".old", " "])
def test_twin_with_the_same_beginning_is_refused(data, tail):
    assert refused(f"{data}{tail}", [data]) == f"The path must be inside {data}."


def test_parent_of_a_root_is_refused(data):
    refused(str(data.parent), [data])
    refused("/", [data])


def test_dots_are_refused_even_where_they_stay_inside(data):
    assert refused(f"{data}/in/../in", [data]) == "A path cannot contain “..”."
    assert resolve(f"{data}/..in/a..b", [data]) == data / "..in/a..b"


def test_link_that_leads_out_is_refused_at_any_depth(data, tmp_path):
    (data / "in" / "out").symlink_to(tmp_path / "data2")
    (data / "up").symlink_to("../..")
    for path in ("in/out", "in/out/new/file", "up", "up/data2"):
        refused(f"{data}/{path}", [data])


def test_link_that_stays_inside_is_followed(data):
    (data / "alias").symlink_to("in")
    assert resolve(f"{data}/alias/x", [data]) == data / "in/x"


def test_loop_of_links_stays_inside_or_is_refused(data):
    (data / "loop").symlink_to("loop")
    assert resolve(f"{data}/loop/x", [data]).is_relative_to(data)


@pytest.mark.parametrize(
    "text", ["in", ":sftp,ssh=touch:/", "remote:path", "--config", "~", " /tmp", "-"]
)
def test_what_is_no_full_path_is_refused_and_told_the_roots(data, text):
    assert refused(text, [data]) == f"Enter a full path inside {data}."


def test_all_roots_are_reported(data, tmp_path):
    assert refused("/etc", [data, tmp_path]) == f"The path must be inside {data} or {tmp_path}."


def test_empty_nul_too_long_and_impossible_are_refused(data):
    assert refused("", [data]) == "Enter a path."
    assert refused(f"{data}/a\0b", [data]) == "A path cannot contain a NUL character."
    assert refused(f"{data}/{'x/' * 2100}", [data]) == "The path is longer than 4095 bytes."
    assert "no file name" in refused(f"{data}/\ud800", [data])


def test_without_roots_everything_is_refused(data):
    assert refused(str(data), []).startswith("No folder is open to transfers.")


def test_name_that_is_not_utf8_is_allowed(data):
    name = os.fsdecode(b"\xff\xfe\n")
    assert resolve(f"{data}/{name}", [data]) == data / name


def test_name_that_is_too_long_for_the_disk_is_not_our_concern(data):
    assert resolve(f"{data}/{'x' * 300}/y", [data]) == data / ("x" * 300) / "y"


def test_error_while_links_are_followed_refuses(data, monkeypatch):
    def vanish(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "readlink", vanish)
    (data / "link").symlink_to("in")
    assert refused(f"{data}/link", [data]).startswith("The path cannot be followed")


pieces = st.sampled_from(
    ["..", ".", "", "in", "out", "up", "loop", "data", "data2", "new", "\0", "\udcff", "~", " "]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(pieces, st.text()), max_size=6)))
def test_whatever_is_typed_is_confined_or_refused(data, typed):
    for name, target in (("out", "../data2"), ("up", ".."), ("loop", "loop")):
        if not (data / name).is_symlink():
            (data / name).symlink_to(target)
    text = typed if isinstance(typed, str) else "/".join([str(data), *typed])
    try:
        path = resolve(text, [data])
    except PathRefused:
        return
    assert os.path.commonpath([os.path.realpath(path), data]) == str(data)
    assert path.is_absolute()
    assert ".." not in path.parts


def test_nested_knows_same_inside_and_apart(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    assert nested(data, data)
    assert nested(data, data / "in")
    assert nested(data / "in", data)
    assert nested(tmp_path / "link" / "in", data)
    assert not nested(data, tmp_path / "data2")
