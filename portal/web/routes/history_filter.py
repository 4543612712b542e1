"""Reads the filter of the history from an address or a form."""

from __future__ import annotations

from collections.abc import Mapping

from portal.errors import Invalid, NotFound
from portal.services.jobs import history
from portal.services.jobs.history import LOCAL, HistoryFilter
from portal.services.jobs.totals import DIFFERENT
from portal.transfers.states import ENDINGS, JobStatus
from portal.web.routes.days import period

FIELDS = ("from", "to", "user", "remote", "status")
#: Used as the id of a remote: transfers between local folders.
LOCAL_ONLY = "local"


def read(typed: Mapping[str, str], timezone: str) -> HistoryFilter:
    """Raises Invalid with everything that is wrong, and NotFound for a status that no page
    offers."""
    if typed["status"] not in ("", *ENDINGS, DIFFERENT):
        raise NotFound("No transfer ends with this status.")
    errors: dict[str, str] = {}
    since, until = period(typed, timezone, errors)
    owner = _owner(typed["user"], errors)
    remote = _remote(typed["remote"], errors)
    if errors:
        raise Invalid(errors)
    if typed["status"] == DIFFERENT:
        return HistoryFilter(since, until, owner, remote, JobStatus.COMPLETED, is_different=True)
    status = JobStatus(typed["status"]) if typed["status"] else None
    return HistoryFilter(since, until, owner, remote, status)


def _owner(name: str, errors: dict[str, str]) -> int | None:
    if not name:
        return None
    for one in history.owners():
        if one.name == name:
            return one.id
    errors["user"] = "This user has no finished transfers."
    return None


def _remote(text: str, errors: dict[str, str]) -> int | None:
    if not text:
        return None
    if text == LOCAL_ONLY:
        return LOCAL
    for one in history.remotes():
        if str(one.id) == text:
            return one.id
    errors["remote"] = "No finished transfers from or to this remote."
    return None
