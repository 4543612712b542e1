"""What people have beside their password."""

from __future__ import annotations

import re
import time

import pyotp

from portal.db.session import session
from portal.models import SecondFactor


class Device:
    """An authenticator app. Each code it gives is of a later step than the one before."""

    def __init__(self, page: str) -> None:
        found = re.search(r'<code class="secret">([A-Z2-7 ]+)</code>', page)
        assert found is not None, page
        self.totp = pyotp.TOTP(found[1].replace(" ", ""))

    def code(self) -> str:
        """Good now, whatever was used before: what is used up is forgotten meanwhile."""
        session.query(SecondFactor).update({"last_step": 0})
        session.commit()
        session.remove()
        return str(self.totp.now())

    def wrong(self) -> str:
        """Of none of the steps around now."""
        near = {self.totp.at(time.time() + 30 * drift) for drift in range(-3, 4)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)


def shown_codes(page: str) -> list[str]:
    return re.findall(r"<li><code>([a-z2-7-]{29})</code></li>", page)
