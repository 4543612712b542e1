"""No password is made of names that everybody here knows."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from portal.services.accounts import passwords
from portal.settings import load_settings
from tests.support.users import PASSWORD

HOSTS = ("files.example.org", "10.0.0.7")
REFUSED = [
    *("transferportal", "Transfer-Portal", "TransferPortal2026!", "transferportal1"),
    *(
        "the transfer portal",
        "transferportaltransferportal",
        "my.Portal.Password.1",
        "rclone-portal-1",
    ),
    *("files.example.org", "Files_Example_Org_1", "example.org-portal", "orgexamplefiles"),
    *("bob@transferportal", "robert-bob-portal"[7:] + "-portal", "portal" * 20),
]
ACCEPTED = [
    "portal frogs march upward",
    "correct horse battery staple",
    "transferportal 84720195 31",  # what it has besides is enough
    "transferportalix weather",
    "exampleorganic vegetables",
]


@pytest.mark.parametrize("password", REFUSED)
def test_names_of_the_product_the_host_and_the_user_are_no_password(password: str) -> None:
    assert passwords.weakness(password, "bob", HOSTS) is not None


@pytest.mark.parametrize("password", ACCEPTED)
def test_password_may_hold_such_a_name(password: str) -> None:
    assert passwords.weakness(password, "bob", HOSTS) is None


def test_hosts_are_those_of_the_settings_and_of_the_machine(tmp_path: Any) -> None:
    settings = load_settings(
        data_dir=tmp_path, allowed_hosts=("files.example.org",), base_url="https://nas.example/p"
    )
    found = passwords.hosts_of(settings)
    assert {"files.example.org", "nas.example", socket.gethostname()} <= found


@pytest.mark.parametrize(
    "new", ["transferportal", "Portal.Transfer.2026", socket.gethostname() * 3]
)
def test_every_way_to_choose_a_password_refuses_them(browser: Any, new: str) -> None:
    form = {"current_password": PASSWORD, "new_password": new}
    assert browser("bob").post("/settings/password", form).status_code == 422
    alice = browser("alice")
    alice.post("/users", {"username": "carol", "role": "viewer", "by": "link"})
    link = alice.get("/users").text.split("/password/")[1].split("<")[0].split('"')[0].strip()
    assert browser().post(f"/password/{link}", {"new_password": new}).status_code == 422
