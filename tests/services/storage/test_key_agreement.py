"""All processes of a portal have one secret key; one with another is not let in."""

from __future__ import annotations

import pytest
from flask import Flask

from portal.db.session import session, write
from portal.errors import SettingsError
from portal.models import KeyFingerprint
from portal.services.storage import key_agreement
from portal.services.storage.encryption import Keys

OLD, NEW, OTHER = (f"the {word} key of forty characters or more" for word in ("old", "new", "odd"))
SAID = "PORTAL_SECRET_KEY: the other processes of this portal have another secret key."


def noted() -> str | None:
    session.remove()
    found = session.get(KeyFingerprint, 1)
    return found.fingerprint if found else None


@pytest.fixture
def served_by_old(app: Flask) -> None:
    key_agreement.of_serving(Keys(OLD), alone=True)


@pytest.mark.usefixtures("app")
def test_worker_that_comes_first_notes_its_key_for_the_others() -> None:
    assert noted() is None
    key_agreement.of_worker(Keys(NEW))
    assert noted() == Keys(NEW).fingerprint()
    with pytest.raises(SettingsError, match=SAID):
        key_agreement.of_serving(Keys(OTHER), alone=False)


@pytest.mark.usefixtures("app")
def test_rotation_before_any_process_has_run_notes_nothing() -> None:
    with write() as tx:
        key_agreement.of_rotation(tx, Keys(NEW))
        tx.commit()
    assert noted() is None


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
