"""All processes of a portal have one secret key; one with another is not let in."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.db.session import connect, session, write
from portal.errors import SettingsError
from portal.models import KeyFingerprint
from portal.services.storage import key_agreement
from portal.services.storage.encryption import Keys
from portal.settings import Settings, load_settings
from tests.shipped import environment as shipped
from tests.support.parts import Redis
from tests.support.portal_server import PortalServer
from tests.support.project import ROOT

OLD, NEW, OTHER = (f"the {word} key of forty characters or more" for word in ("old", "new", "odd"))
SAID = "PORTAL_SECRET_KEY: the other processes of this portal have another secret key."


def noted() -> str | None:
    session.remove()
    found = session.get(KeyFingerprint, 1)
    return found.fingerprint if found else None


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str) -> Settings:
    return load_settings(data_dir=tmp_path / "data", database_url=postgres_url)


@pytest.fixture
def served_by_old(settings: Settings) -> Iterator[None]:
    made = connect(settings.database_url)
    key_agreement.of_serving(Keys(OLD), alone=True)
    yield
    session.remove()
    made.dispose()


@pytest.mark.usefixtures("served_by_old")
def test_worker_with_another_key_is_refused_and_with_the_same_let_in() -> None:
    key_agreement.of_worker(Keys(OLD))
    with pytest.raises(SettingsError, match=SAID):
        key_agreement.of_worker(Keys(OTHER))
    assert noted() == Keys(OLD).fingerprint()


@pytest.mark.usefixtures("served_by_old")
def test_key_may_change_while_the_former_one_is_named() -> None:
    with pytest.raises(SettingsError, match=SAID):
        key_agreement.of_serving(Keys(NEW), alone=False)
    key_agreement.of_worker(Keys(NEW, (OTHER, OLD)))
    assert noted() == Keys(OLD).fingerprint()
    key_agreement.of_serving(Keys(NEW, (OLD,)), alone=False)
    assert noted() == Keys(NEW).fingerprint()
    key_agreement.of_worker(Keys(NEW))
    with pytest.raises(SettingsError, match=SAID):
        key_agreement.of_worker(Keys(OLD))
    key_agreement.of_worker(Keys(OLD, (NEW,)))


@pytest.mark.usefixtures("served_by_old")
def test_portal_that_is_alone_may_begin_anew_after_its_key_was_lost() -> None:
    key_agreement.of_serving(Keys(NEW), alone=True)
    assert noted() == Keys(NEW).fingerprint()


@pytest.mark.usefixtures("served_by_old")
def test_rotation_ends_the_former_key_and_notes_no_strange_one() -> None:
    for keys, left in ((Keys(OTHER), OLD), (Keys(NEW, (OLD,)), NEW)):
        with write() as tx:
            key_agreement.of_rotation(tx, keys)
            tx.commit()
        assert noted() == Keys(left).fingerprint()


def test_fingerprint_does_not_hold_the_key() -> None:
    assert OLD not in Keys(OLD).fingerprint()
    assert len({Keys(key).fingerprint() for key in (OLD, NEW, OTHER)}) == 3


@pytest.fixture
def several(tmp_path: Path, postgres_url: str, redis: Redis) -> Iterator[list[PortalServer]]:
    """Processes on several machines: one database, one Redis, a data folder each."""
    made = [
        PortalServer(
            tmp_path / f"machine {number}",
            PORTAL_DATABASE_URL=postgres_url,
            PORTAL_REDIS_URL=redis.url,
            PORTAL_SECRET_KEY=key,
        )
        for number, key in enumerate((OLD, OTHER))
    ]
    yield made
    for one in made:
        one.clean_up()


@pytest.mark.parametrize("command", ["worker", "run", "run --processes 2"])
def test_process_with_another_key_does_not_start(several: list[PortalServer], command: str) -> None:
    first, second = several
    first.start()
    done = subprocess.run(
        [shipped.python(), "manage.py", *command.split()],
        cwd=ROOT,
        env=shipped.environment(second.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"Error: {SAID}" in said
    assert "Traceback" not in said


def test_portal_starts_with_another_key_when_no_other_process_runs(
    several: list[PortalServer],
) -> None:
    first, second = several
    first.start()
    assert first.stop() == 0
    second.start()
    assert "the secret key is another than before" in second.log
    assert second.stop() == 0
