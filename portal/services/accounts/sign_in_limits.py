"""Slows down guessing, and locks nobody out.

A few tries are free; after them each has to wait twice as long as the one before. Tries are counted
for the account and for the address, and are forgiven one by one. A user who has signed in from an
address before has a separate count there, so that an attack from elsewhere does not block them. The
counts are in the database: every process shares them, and a restart does not clear them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.db.session import insert_into
from portal.models import KnownAddress, SignInLimit, User

_FIRST_WAIT = 1.0
_LONGEST_WAIT = 900.0
#: After this time every count is forgiven.
_FORGOTTEN = timedelta(hours=24)
_REMEMBER_FOR = timedelta(days=90)


@dataclass(frozen=True)
class Allowance:
    free: int
    #: Seconds after which one try is forgiven.
    forgiven_every: float


ACCOUNT = Allowance(5, 900.0)
#: More than for an account, because a whole office may come from one address.
ADDRESS = Allowance(30, 60.0)

Limits = dict[str, Allowance]


def limits_of(tx: Session, username: str, address: str) -> Limits:
    """Returns the limits that a try of this name from this address counts against."""
    place = network(address)
    known = tx.scalar(
        select(KnownAddress.user_id)
        .join(User, User.id == KnownAddress.user_id)
        .where(User.username == username, KnownAddress.address == place)
    )
    if known is not None:
        return {_key("account from", username, place): ACCOUNT}
    return {_key("account", username): ACCOUNT, _key("address", place): ADDRESS}


def charge(tx: Session, limits: Limits) -> float:
    """Counts one try against each limit, before the password is checked, since many tries may be
    under way at once. Returns the seconds to wait; a try that has to wait is not counted."""
    rows = _rows(tx, limits)
    moment = now()  # read here, because another try may have held the rows until now
    waits = [(row.blocked_until - moment).total_seconds() for row in rows if row.blocked_until]
    if (longest := max(waits, default=0.0)) > 0:
        return longest
    for row in rows:
        _count(row, limits[row.key], +1, moment)
    return 0.0


def forgive(tx: Session, limits: Limits) -> None:
    """Forgives a try that was right. The account's count is cleared. The address gets only this one
    try back: otherwise an attacker could clear its count by signing in to an account of their
    own."""
    rows = _rows(tx, limits)
    moment = now()
    for row in rows:
        if limits[row.key] is ADDRESS:
            _count(row, ADDRESS, -1, moment)
        else:
            tx.delete(row)


def uncount(tx: Session, limits: Limits) -> None:
    """Takes back one try that was right, and leaves the count of the others. Otherwise somebody who
    knows the password could guess codes without end, and clear their count in between."""
    moment = now()
    for row in _rows(tx, limits):
        _count(row, limits[row.key], -1, moment)


def remember_address(tx: Session, user_id: int, address: str) -> None:
    """Remembers that the user has signed in from here. Also deletes rows that are of no use any
    more."""
    moment = now()
    seen = insert_into(tx, KnownAddress).values(
        user_id=user_id, address=network(address), seen_at=moment
    )
    tx.execute(
        seen.on_conflict_do_update(
            index_elements=[KnownAddress.user_id, KnownAddress.address],
            set_={"seen_at": moment},
        )
    )
    tx.execute(delete(KnownAddress).where(KnownAddress.seen_at < moment - _REMEMBER_FOR))
    tx.execute(delete(SignInLimit).where(SignInLimit.counted_at < moment - _FORGOTTEN))


def wait_after(tries: float, free: int) -> float:
    """Returns the seconds to wait after so many tries: none, then 1, 2, 4 … up to 15 minutes."""
    beyond = math.floor(tries) - free
    return 0.0 if beyond < 0 else min(_FIRST_WAIT * 2.0 ** min(beyond, 20), _LONGEST_WAIT)


def _count(row: SignInLimit, allowance: Allowance, by: int, moment: datetime) -> None:
    passed = max(0.0, (moment - row.counted_at).total_seconds())  # clocks of processes differ
    forgiven = passed // allowance.forgiven_every
    left = max(0.0, row.tries - forgiven)
    # Whole tries are forgiven, and the time towards the next one goes on counting.
    row.counted_at += timedelta(seconds=forgiven * allowance.forgiven_every)
    if not left:
        row.counted_at = moment
    row.tries = max(0.0, left + by)
    wait = wait_after(row.tries, allowance.free)
    row.blocked_until = moment + timedelta(seconds=wait) if wait else None


def _rows(tx: Session, keys: Iterable[str]) -> list[SignInLimit]:
    """Returns the rows of these keys, locked in one order. Rows that are missing are inserted."""
    new = [{"key": key, "tries": 0.0, "counted_at": now()} for key in sorted(keys)]
    tx.execute(insert_into(tx, SignInLimit).values(new).on_conflict_do_nothing())
    query = select(SignInLimit).where(SignInLimit.key.in_(keys)).order_by(SignInLimit.key)
    return list(tx.scalars(query.with_for_update()))


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def network(address: str) -> str:
    """Returns the network of an IPv6 address: a customer has 2**64 addresses, which count as
    one."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
