"""`portal rotate-keys` encrypts everything with the new key, so an old key may be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from portal.cli import cli
from portal.db.session import session
from portal.models import Remote, SecondFactor, User
from portal.services.storage.encryption import Keys
from portal.settings import Settings

OLD, NEW = "an old key of many characters 123456", "a new key, of as many characters 98765"


@pytest.fixture
def command(settings: Settings) -> Callable[..., Any]:
    """Runs it on the data of ``app`` with these keys."""

    def run(key: str, previous: str = "") -> Any:
        session.remove()
        return CliRunner().invoke(
            cli,
            ["rotate-keys"],
            env={
                "PORTAL_DATA_DIR": str(settings.data_dir),
                "PORTAL_SECRET_KEY": key,
                "PORTAL_PREVIOUS_SECRET_KEYS": previous,
            },
            obj={},
        )

    return run


@pytest.fixture
def encrypted_with_the_old_key(app: Any, user: Callable[[str], User]) -> None:
    keys = Keys(OLD)
    bob = user("bob").id
    secrets = {"pass": keys.encrypt("first"), "key_pem": keys.encrypt("second")}
    session.add(Remote(name="nas", backend="sftp", options={}, secrets=secrets))
    session.add(SecondFactor(user_id=bob, secret=keys.encrypt("third")))
    session.commit()


def secrets_by(key: str) -> list[str | None]:
    session.remove()
    remote = session.query(Remote).one()
    factor = session.query(SecondFactor).one()
    return [Keys(key).decrypt(text) for text in (*remote.secrets.values(), factor.secret)]


@pytest.mark.usefixtures("encrypted_with_the_old_key")
def test_new_key_alone_opens_everything_afterwards(command: Any) -> None:
    done = command(NEW, OLD)
    assert (done.exit_code, done.output) == (0, "3 secrets are encrypted with the present key.\n")
    assert secrets_by(NEW) == ["first", "second", "third"]
    assert secrets_by(OLD) == [None, None, None]


@pytest.mark.usefixtures("encrypted_with_the_old_key")
def test_what_no_key_opens_is_named_and_left_as_it_was(command: Any) -> None:
    done = command(NEW)
    assert done.exit_code == 1
    assert "pass of the remote nas" in done.output
    assert "the second factor of user" in done.output
    assert secrets_by(OLD) == ["first", "second", "third"]
