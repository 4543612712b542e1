"""How many requests of each kind one user, token or address may send a minute.

What pages poll is not limited, and neither are live connections and probes: nobody may be shut out
by the tabs they have open. Refreshes count for each session, since a hundred displays on a wall may
show the pages of one user. Signing in has limits of its own, see ``sign_in_limits``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from flask import Flask, Response, g
from limits import RateLimitItem, RateLimitItemPerMinute

from portal.errors import TooMany
from portal.runtime.context import current
from portal.runtime.request_counts import RequestCounts
from portal.settings import Settings
from portal.transfers.counted import counted

View = TypeVar("View", bound=Callable[..., Any])


class RequestKind(StrEnum):
    """The values are the names in the settings, in the headers and in the metrics."""

    PAGES = "pages"
    REFRESHES = "refreshes"
    API = "api"
    CHANGES = "changes"
    STORAGES = "storages"
    EXPORTS = "exports"
    STRANGERS = "strangers"


_WORDS = {
    RequestKind.CHANGES: "changes",
    RequestKind.STORAGES: "questions to storages",
    RequestKind.EXPORTS: "exports",
    RequestKind.STRANGERS: "requests from your address",
}


class LimitedRequests(Counter[str]):
    """Requests of one application that were refused by a limit, by kind; read by the metrics."""


class RateLimits:
    """The limits of one application; a kind without one is missing."""

    def __init__(self, settings: Settings) -> None:
        self.counts = RequestCounts(settings.redis_url)
        self.of: dict[RequestKind, RateLimitItem] = {
            kind: RateLimitItemPerMinute(most, 1, kind.value)
            for kind in RequestKind
            if (most := getattr(settings, f"rate_limit_{kind}"))
        }


@dataclass(slots=True)
class _Charge:
    """``shown``: whether the answer says what is left."""

    kind: RequestKind
    key: str
    shown: bool


def limited_as(kind: RequestKind | None) -> Callable[[View], View]:
    """Declares what the requests for a view count as; None: they are not limited."""

    def declare(view: View) -> View:
        view.limited_as = kind  # type: ignore[attr-defined]
        return view

    return declare


def init_app(app: Flask, settings: Settings) -> None:
    current().put(RateLimits(settings))
    app.after_request(_show)


def charge(kind: RequestKind, key: str, *, shown: bool) -> None:
    """Counts a request of whom ``key`` names. ``shown``: the answer says how many are left, as it
    does anyway once there are none. Raises TooMany."""
    limits = current()[RateLimits]
    limit = limits.of.get(kind)
    if limit is None:
        return
    charged = g.rate_charge = _Charge(kind, key, shown)
    if limits.counts.hit(limit, key):
        return
    charged.shown = True
    current()[LimitedRequests][kind.value] += 1
    seconds = max(1, math.ceil(limits.counts.left(limit, key)[1]))
    raise TooMany(
        seconds,
        f"Too many {_WORDS.get(kind, 'requests')} within a minute. "
        f"Try again in {counted(seconds, 'second')}.",
    )


def _show(response: Response) -> Response:
    """Adds the headers of draft-ietf-httpapi-ratelimit-headers. Pages do not need them."""
    charged: _Charge | None = g.get("rate_charge")
    if charged is None or not charged.shown:
        return response
    limits = current()[RateLimits]
    limit = limits.of[charged.kind]
    remaining, seconds = limits.counts.left(limit, charged.key)
    name = f'"{charged.kind}"'
    response.headers["RateLimit-Policy"] = f"{name};q={limit.amount};w={limit.get_expiry()}"
    response.headers["RateLimit"] = f"{name};r={remaining};t={math.ceil(seconds)}"
    return response
