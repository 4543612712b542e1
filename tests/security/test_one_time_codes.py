"""How long a code of the app is good, and how hard a recovery code is to guess."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from portal.db.session import session
from portal.models import RecoveryCode, SecondFactor
from portal.services.accounts import one_time_codes
from tests.support.second_factor import Device, shown_codes
from tests.support.users import PASSWORD

PAGE = "/settings/second-factor"
#: In the middle of a step, where the moment of a test cannot pass its end.
MIDDLE = datetime.fromtimestamp(time.time() // 30 * 30 + 15, UTC)


@pytest.fixture
def device(browser: Any, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(one_time_codes, "now", lambda: MIDDLE)
    bob = browser("bob")
    bob.post(f"{PAGE}/begin")
    made = Device(bob.get(PAGE).text)
    form = {"code": made.totp.at(MIDDLE), "current_password": PASSWORD}
    assert bob.post(f"{PAGE}/enable", form).status_code == 303
    session.query(SecondFactor).update({"last_step": 0})
    session.commit()
    session.remove()
    made.codes = shown_codes(bob.get(PAGE).text)  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, 303), (-30, 303), (-60, 422), (-90, 422), (30, 422), (60, 422)]
)
def test_code_is_good_in_its_own_step_and_the_one_after(
    browser: Any, device: Device, seconds: int, status: int
) -> None:
    bob = browser()
    bob.sign_in("bob")
    code = device.totp.at(int(MIDDLE.timestamp()) + seconds)
    assert bob.post("/login/code", {"code": code}).status_code == status


def test_recovery_code_has_more_than_112_bits(device: Any) -> None:
    codes = [code.replace("-", "") for code in device.codes]
    assert len(set(codes)) == 10
    assert min(map(len, codes)) * math.log2(32) >= 112
    assert len(set("".join(codes))) > 20, "of the whole alphabet"
    kept = session.scalars(select(RecoveryCode.code_hash)).all()
    assert not {*kept} & {*codes, *device.codes}


@pytest.mark.parametrize("length", [6, 16, 23])
def test_part_of_a_recovery_code_is_none(browser: Any, device: Any, length: int) -> None:
    bob = browser()
    bob.sign_in("bob")
    part = device.codes[0].replace("-", "")[:length]
    assert bob.post("/login/code", {"code": part}).status_code == 422
