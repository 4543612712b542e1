"""The parts of one application, as its settings define them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from portal.runtime.context import current
from portal.services.accounts.oidc import Provider
from portal.services.accounts.session_policy import SessionPolicy
from portal.services.storage.encryption import Keys
from portal.settings import Settings
from portal.transfers.local_paths import Roots


class Executor(Protocol):
    """Makes workers run what is queued, in this process or in others."""

    def start(self) -> None:
        """Rescues the jobs that a dead process left, then runs what is queued."""

    def look(self) -> None:
        """Makes the workers look at the queue, because a job may run that could not before. To ask
        for it without a reason does no harm."""

    def stop(self) -> None:
        """Puts running jobs back into the queue; returns when no rclone is left."""

    def is_alive(self) -> bool:
        """Whether queued jobs are being run."""


@dataclass(frozen=True)
class Runtime:
    """Made once at the start, by ``app.py``, a worker or a command."""

    settings: Settings
    keys: Keys
    session_policy: SessionPolicy
    roots: Roots
    #: The provider of single sign-on; None if it is not set up.
    provider: Provider | None
    executor: Executor


def make_runtime(settings: Settings, roots: Roots, executor: Executor) -> Runtime:
    return Runtime(
        settings,
        keys_of(settings),
        _session_policy(settings),
        roots,
        _provider(settings),
        executor,
    )


def keys_of(settings: Settings) -> Keys:
    return Keys(settings.signing_key(), settings.previous_secret_keys)


def runtime() -> Runtime:
    """Returns the runtime of the application that this thread works for."""
    return current()[Runtime]


def _session_policy(settings: Settings) -> SessionPolicy:
    return SessionPolicy(
        idle=timedelta(hours=settings.session_idle_hours),
        longest=timedelta(hours=settings.session_hours),
        remembered=timedelta(days=settings.session_remembered_days),
        viewers_idle=settings.session_viewers_idle,
        second_step=frozenset(settings.require_second_factor),
    )


def _provider(settings: Settings) -> Provider | None:
    if not settings.oidc_issuer:
        return None
    return Provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        scopes=settings.oidc_scopes,
        name=settings.oidc_name,
        role_claim=settings.oidc_role_claim,
        roles=settings.oidc_roles,
        second_factor=settings.oidc_second_factor,
    )
