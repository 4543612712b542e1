"""Turns a stored remote into the arguments of rclone: decrypts its secrets and checks its hosts
again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from portal import engine
from portal.db.session import session
from portal.errors import Conflict, Unavailable
from portal.models import Job, Remote, User
from portal.remotes.backends import BACKENDS
from portal.remotes.hosts import HostRefused, refuse_local
from portal.remotes.obscure import obscure
from portal.remotes.options import hosts
from portal.services.actor import Actor
from portal.services.runtime import runtime
from portal.services.storage import turns
from portal.transfers.options import Options

#: Seconds that a person waits for the answer of a storage.
TIMEOUT = 20.0


class Unusable(Conflict):
    """The remote cannot be used now; the message says why."""


class GivenUp(Unavailable):
    """Whoever asked is gone; the storage was not waited for."""


def _rclone() -> Path:
    return engine.rclone_path(runtime().settings.rclone)


def _allow_local() -> bool:
    """Returns whether a storage may be on this machine or in its local network."""
    return runtime().settings.remotes_allow_local


def _refused() -> tuple[str, ...]:
    """Returns the networks that no storage may be in."""
    return runtime().settings.remotes_refuse


def known_options(backend: str) -> Mapping[str, engine.BackendOption]:
    """Returns rclone's description of the options of one of ``BACKENDS``."""
    return engine.options_of(_rclone())[BACKENDS[backend].rclone]


def refuse_hosts(backend: str, values: Mapping[str, str]) -> dict[str, str]:
    """Returns what is wrong with the servers that these values name, by option."""
    return _looked_up(backend, values)[1]


def _looked_up(backend: str, values: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns an address of each server, and what is wrong with the others, by option."""
    found, wrong = {}, {}
    for name, host in hosts(BACKENDS[backend], values).items():
        try:
            found[name] = refuse_local(host, allow_local=_allow_local(), refused=_refused())
        except HostRefused as refused:
            wrong[name] = refused.reason
    return found, wrong


def engine_remote(remote: Remote) -> engine.Remote:
    """Raises Unusable. It resolves the addresses of hosts over the network, so it must not be
    called inside a transaction."""
    backend = BACKENDS.get(remote.backend)
    if backend is None:
        raise Unusable(f"The remote {remote.name} is of a kind that this portal does not know.")
    secrets = {
        name: runtime().keys.decrypt(encrypted) for name, encrypted in remote.secrets.items()
    }
    readable = {name: text for name, text in secrets.items() if text is not None}
    if len(readable) < len(secrets):
        raise Unusable(
            f"The secrets of the remote {remote.name} cannot be opened: the portal's secret key "
            "has changed. An admin has to type them again."
        )
    found, wrong = _looked_up(remote.backend, {**remote.options, **readable})
    if wrong:
        raise Unusable(f"The remote {remote.name} may not be used. {' '.join(wrong.values())}")
    parameters = {
        name: obscure(text) if name in backend.passwords else text
        for name, text in readable.items()
    }
    hidden = frozenset({*readable.values(), *parameters.values()})
    if backend.pinned and (_refused() or not _allow_local()):
        parameters |= {name: f"[{text}]" if ":" in text else text for name, text in found.items()}
    return engine.Remote(
        remote.name,
        backend.rclone,
        {**remote.options, **parameters},
        hidden,
        confined=not _allow_local(),
        refused=_refused(),
    )


def of_job(job_id: int) -> tuple[engine.Remote, ...]:
    """Returns the remotes that a job needs, checked now. Raises Unusable."""
    job = session.get_one(Job, job_id)
    owner = session.get_one(User, job.owner_id)
    needed: dict[int, Remote] = {}
    try:
        for side, number in (
            ("source", job.source_remote_id),
            ("destination", job.destination_remote_id),
        ):
            if number is not None:
                needed[number] = _usable(number, side, getattr(job, side), owner)
        session.expunge_all()
    finally:
        session.rollback()
    return tuple(engine_remote(remote) for remote in needed.values())


def _usable(number: int, side: str, text: str, owner: User) -> Remote:
    name = text.partition(":")[0]
    remote = session.get(Remote, number)
    if remote is None:
        raise Unusable(
            f"The remote {name} of the {side} was deleted. Create a new job with another one."
        )
    if not remote.may_be_used_by(owner.role):
        raise Unusable(f"{owner.username} may no longer use the remote {name} of the {side}.")
    return remote


# --- short questions ----------------------------------------------------------------------------
#
# Each is asked for a person who waits, and in a turn of theirs: raises TooMany if there is none in
# time, GivenUp once the person is gone, and Unusable. The remote must be none of the session's.


def list_folder(remote: Remote, path: str, *, actor: Actor) -> engine.Listing:
    with _turn(actor):
        return engine.list_folder(
            _rclone(), engine_remote(remote), path, seconds=TIMEOUT, is_unwanted=actor.is_gone
        )


def make_folder(remote: Remote, path: str, *, actor: Actor) -> str | None:
    """Returns why the folder was not made, or None."""
    backend = BACKENDS[remote.backend]
    at_the_top = "/" not in path.strip("/")
    if at_the_top and backend.top == "share":
        return "Shares are created on the server. Open one, and create the folder in it."
    with _turn(actor):
        at = _rclone(), engine_remote(remote), path
        problem = engine.make_folder(*at, seconds=TIMEOUT, is_unwanted=actor.is_gone)
        if problem or (backend.objects and not at_the_top):
            return problem
        # Some storages report success and make nothing.
        if engine.list_folder(*at, seconds=TIMEOUT, is_unwanted=actor.is_gone).missing:
            return f"The storage did not create the {backend.top if at_the_top else 'folder'}."
    return None


def test(remote: Remote, path: str, *, actor: Actor) -> tuple[engine.Listing, bool]:
    """Returns what is in the folder; and of an empty one, whether the server accepts any request,
    and so is no such storage at all."""
    with _turn(actor):
        rclone, storage, unwanted = _rclone(), engine_remote(remote), actor.is_gone
        found = engine.list_folder(rclone, storage, path, seconds=TIMEOUT, is_unwanted=unwanted)
        if found.missing or found.unknown or found.problem or found.entries or found.partial:
            return found, False
        return found, engine.answers_to_anything(
            rclone, storage, seconds=TIMEOUT, is_unwanted=unwanted
        )


def list_and_learn(remote: Remote, path: str, *, actor: Actor) -> tuple[engine.Listing, str]:
    """Returns what is in the folder of an SFTP remote without host keys, and the key that its
    server has shown, in rclone's form."""
    with _turn(actor):
        return engine.list_and_learn(
            _rclone(), engine_remote(remote), path, seconds=TIMEOUT, is_unwanted=actor.is_gone
        )


def list_matching(
    remote: Remote | None, path: str, options: Options, *, actor: Actor
) -> engine.Matching:
    """Lists a local path if there is no remote."""
    with _turn(actor):
        storage = engine_remote(remote) if remote is not None else None
        return engine.list_matching(
            _rclone(), storage, path, options, seconds=TIMEOUT, is_unwanted=actor.is_gone
        )


@contextmanager
def _turn(actor: Actor) -> Iterator[None]:
    with turns.at_storages(actor):
        try:
            yield
        except engine.Abandoned as abandoned:
            raise GivenUp(abandoned.reason) from None
        except engine.EngineError as error:
            raise Unusable(error.reason) from None
