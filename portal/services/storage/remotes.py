"""What admins do with remotes, and who may use which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from portal import engine
from portal.db.clock import now
from portal.db.session import session, write
from portal.engine.safety import same_place
from portal.errors import Conflict, Invalid, NotFound
from portal.models import Job, Remote, Role, User
from portal.remotes import host_keys
from portal.remotes import options as parameters
from portal.remotes.backends import BACKENDS, Backend
from portal.services import audit, bandwidth_budgets
from portal.services.actor import Actor
from portal.services.runtime import runtime
from portal.services.storage import connections, verdicts
from portal.transfers import locations
from portal.transfers.bandwidth import InvalidBandwidth
from portal.transfers.local_paths import PathRefused

#: The lowest role to which a remote may be opened: nobody below it creates jobs.
ROLES = (Role.OPERATOR, Role.ADMIN)
#: The largest number of jobs that may run at once.
MOST_JOBS = 1000
_RETYPE = "Enter this again: the server it is sent to has changed."


@dataclass(frozen=True, slots=True)
class Draft:
    """The values that were typed. An empty secret keeps the stored one; ``cleared`` names those to
    remove. ``bandwidth_budget``: None keeps the one that there is; a timetable goes by the clock of
    ``timezone``."""

    role: str
    start: str
    options: Mapping[str, str]
    max_jobs: str = ""
    cleared: frozenset[str] = frozenset()
    bandwidth_budget: str | None = None
    timezone: str = "UTC"


class Stale(Conflict):
    """Somebody else saved the remote meanwhile; ``current`` is their version."""

    def __init__(self, current: Remote) -> None:
        super().__init__(
            f"{current.changed_by} changed this remote while you edited it. Your changes are not "
            "saved yet: compare, then save again to replace theirs."
        )
        self.current = current


# --- lists --------------------------------------------------------------------------------------


def all_of_them() -> list[Remote]:
    return list(session.scalars(select(Remote).order_by(Remote.name)))


def usable(user: User) -> list[Remote]:
    """Returns the remotes that the user may use, by name."""
    return [remote for remote in all_of_them() if user.may(Role(remote.role))]


def names(user: User) -> dict[str, int]:
    return {remote.name: remote.id for remote in usable(user)}


def find(remote_id: int) -> Remote:
    remote = session.get(Remote, remote_id)
    if remote is None:
        raise NotFound("There is no such remote.")
    return remote


def find_to_ask(remote_id: int) -> Remote:
    """Returns the remote as it is now, whatever happens to the session while its storage is
    asked."""
    remote = find(remote_id)
    session.expunge(remote)
    return remote


# --- acts ---------------------------------------------------------------------------------------


def create(name: str, backend: str, draft: Draft, *, actor: Actor) -> Remote:
    """Raises Invalid with everything that is wrong; errors of options have the keys
    ``options.<name>``."""
    errors = {} if locations.is_name(name) else {"name": _NAME_RULE}
    if backend not in BACKENDS:
        raise Invalid({**errors, "backend": "Choose one from the list."})
    options, secrets = _values(BACKENDS[backend], draft, {}, {}, errors)
    remote = Remote(
        name=name,
        backend=backend,
        options=options,
        secrets=secrets,
        role=Role(draft.role),
        start=draft.start,
        max_jobs=_max_jobs(draft),
        changed_by=actor.name,
    )
    with write() as tx:
        tx.add(remote)
        try:
            tx.flush()
        except IntegrityError:
            raise Invalid({"name": "A remote with this name already exists."}) from None
        detail = f"{backend}, for role {remote.role}; {_name_list('options', options)}"
        _note(tx, "remote.create", remote, actor, detail + _name_list("; secrets", secrets))
        _put_budget(tx, remote, draft, actor)
        tx.commit()
    return remote


def change(remote_id: int, version: int, draft: Draft, *, actor: Actor) -> Remote:
    """Raises Invalid as ``create`` does, or if the remote would lead to another server while jobs
    use it; Stale if the remote has another version by now."""
    before = find(remote_id)
    backend = BACKENDS[before.backend]
    kept = {name: text for name, text in before.secrets.items() if name not in draft.cleared}
    options, typed = _values(backend, draft, before.options, kept, {})
    session.rollback()
    with write() as tx:
        remote = _lock_remote(tx, remote_id)
        if remote.version != version:
            raise Stale(find(remote_id))
        secrets = {name: text for name, text in remote.secrets.items() if name not in draft.cleared}
        changed = {name for name, _ in set(options.items()) ^ set(remote.options.items())}
        _refuse_another_server(tx, remote, options, changed)
        detail = _name_list("options changed", sorted(changed)) + _name_list(
            "; secrets typed", typed
        )
        detail += _name_list("; secrets removed", sorted(draft.cleared & set(remote.secrets)))
        remote.options, remote.secrets = options, secrets | typed
        remote.role, remote.start = Role(draft.role), draft.start
        detail += _name_list("; jobs at once", _changed_limit(remote, draft))
        remote.max_jobs = _max_jobs(draft)
        remote.version += 1
        remote.changed_at, remote.changed_by = now(), actor.name
        remote.tested_at, remote.works, remote.verdict = None, None, ""
        _note(tx, "remote.change", remote, actor, detail)
        _put_budget(tx, remote, draft, actor)
        tx.commit()
    runtime().executor.look()  # more of its jobs may run by now
    return remote


def _refuse_another_server(
    tx: Session, remote: Remote, options: dict[str, str], changed: set[str]
) -> None:
    """Jobs that were made for one server must not run at another one: a sync would make its
    destination like a source that nobody has seen. Raises Invalid at the field."""
    kind, before = BACKENDS[remote.backend].rclone, remote.options

    def leads_elsewhere(values: Mapping[str, str]) -> bool:
        one, other = (engine.Remote(remote.name, kind, dict(each)) for each in (values, before))
        return not same_place.same_account(one, other)

    if not leads_elsewhere(options):
        return
    if waiting := list(tx.scalars(_open_jobs(remote.id))):
        names = (
            name
            for name in sorted(changed)
            if leads_elsewhere({**before, name: options.get(name, "")})
        )
        why = f"{_still_needed(remote.name, waiting)} Then it may lead to another place."
        raise Invalid({f"options.{next(names, min(changed))}": why})


def delete(remote_id: int, *, actor: Actor) -> Remote:
    """Raises Conflict while jobs that are not over need the remote."""
    with write() as tx:
        remote = _lock_remote(tx, remote_id)
        waiting = list(tx.scalars(_open_jobs(remote_id)))
        if waiting:
            raise Conflict(_still_needed(remote.name, waiting))
        tx.delete(remote)
        _note(tx, "remote.delete", remote, actor, remote.backend)
        tx.commit()
    return remote


def test(remote_id: int, *, actor: Actor) -> Remote:
    """Asks the storage, and stores the verdict with the remote. The first test that succeeds pins
    the host key of an SFTP server. Raises TooMany and GivenUp."""
    asked = find_to_ask(remote_id)
    try:
        works, verdict, shown = verdicts.test(asked, actor)
    except connections.GivenUp as given_up:
        with write() as tx:
            _note(tx, "remote.test", asked, actor, given_up.message, "failed")
            tx.commit()
        raise
    with write() as tx:
        remote = _lock_remote(tx, remote_id)
        if remote.version == asked.version:
            remote.tested_at, remote.works, remote.verdict = now(), works, verdict
            if works and shown:
                _pin(tx, remote, shown, actor, "learned at the first test")
        _note(tx, "remote.test", remote, actor, verdict, "ok" if works else "failed")
        tx.commit()
    return remote


def accept_host_key(remote_id: int, fingerprint: str, *, actor: Actor) -> Remote:
    """Pins the key that the SFTP server shows now instead of the old one, if it has this
    fingerprint. Raises Conflict if it shows another one or does not work, Stale if the remote was
    changed meanwhile, TooMany and GivenUp."""
    asked = find_to_ask(remote_id)
    if asked.backend != "sftp":
        raise NotFound("Only SFTP servers have host keys.")
    old = asked.options.get("host_keys", "")
    asked.options = {name: text for name, text in asked.options.items() if name != "host_keys"}
    works, verdict, shown = verdicts.test(asked, actor)
    if not works:
        raise Conflict(f"Nothing was changed, because the server could not be tested. {verdict}")
    typed = f"SHA256:{fingerprint.strip().removeprefix('SHA256:').rstrip('=')}"
    if typed not in {key.fingerprint for key in host_keys.read(shown)}:
        raise Conflict(
            f"Nothing was changed: the server shows {_in_words(shown)}, which is not the "
            "fingerprint that you entered."
        )
    with write() as tx:
        remote = _lock_remote(tx, remote_id)
        if remote.version != asked.version:
            raise Stale(find(remote_id))
        remote.tested_at, remote.works, remote.verdict = now(), works, verdict
        instead = f"accepted instead of {_in_words(old)}" if old else "accepted"
        _pin(tx, remote, shown, actor, instead)
        tx.commit()
    return remote


def _pin(tx: Session, remote: Remote, shown: str, actor: Actor, how: str) -> None:
    """As a change of the remote: a form that was opened before would else remove the key again."""
    remote.options = {**remote.options, "host_keys": shown}
    remote.version += 1
    _note(tx, "remote.host_key", remote, actor, f"{_in_words(shown)}, {how}")


def _in_words(pinned: str) -> str:
    return ", ".join(f"{key.fingerprint} ({key.kind})" for key in host_keys.read(pinned))


def lock_usable(tx: Session, remote_ids: tuple[int | None, ...], actor: Actor) -> None:
    """Checks, within the transaction that creates a job, that its remotes exist and the actor may
    use them, and keeps anybody from deleting them before it commits. Raises Conflict."""
    for number in remote_ids:
        if number is None:
            continue
        remote = tx.get(Remote, number, with_for_update={"read": True}, populate_existing=True)
        if remote is None:
            raise Conflict("A remote of this job was deleted. Create a new job with another one.")
        if not actor.may(Role(remote.role)):
            raise Conflict(f"You may no longer use the remote {remote.name}.")


# --- parts --------------------------------------------------------------------------------------

_NAME_RULE = "1–32 lowercase letters, digits or dashes; must not start with a dash."


def _values(
    backend: Backend,
    draft: Draft,
    before: Mapping[str, str],
    kept: Mapping[str, str],
    errors: dict[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the options, and the secrets that were typed, encrypted."""
    if draft.role not in ROLES:
        errors["role"] = "Choose who may use it."
    if draft.max_jobs and _max_jobs(draft) is None:
        errors["max_jobs"] = f"Enter a number from 1 to {MOST_JOBS:,}, or leave it empty."
    try:
        bandwidth_budgets.validate(draft.bandwidth_budget or "")
    except InvalidBandwidth as refused:
        errors["bandwidth_budget"] = str(refused)
    try:
        locations.refuse_malformed(draft.start)
    except PathRefused as refused:
        errors["start"] = refused.reason
    try:
        known = connections.known_options(backend.key)
        values = parameters.validate(backend, known, draft.options, kept)
    except Invalid as invalid:
        raise Invalid(errors | invalid.errors) from None
    wrong = connections.refuse_hosts(backend.key, values)
    errors |= {f"options.{name}": reason for name, reason in wrong.items()}
    typed = {name: text for name, text in values.items() if name in backend.secrets}
    options = {name: text for name, text in values.items() if name not in typed}
    if any(before.get(name) != options.get(name) for name in backend.target - backend.secrets):
        # Otherwise somebody who may change a remote could have its secrets sent to their own
        # server.
        errors |= {f"options.{name}": _RETYPE for name in kept if name not in typed}
        if options.get("host_keys") == before.get("host_keys"):
            options.pop("host_keys", None)  # that of the server before
    if errors:
        raise Invalid(errors)
    return options, {name: runtime().keys.encrypt(text) for name, text in typed.items()}


def _put_budget(tx: Session, remote: Remote, draft: Draft, actor: Actor) -> None:
    if draft.bandwidth_budget is not None:
        rate = bandwidth_budgets.validate(draft.bandwidth_budget)
        bandwidth_budgets.put(tx, remote, rate, draft.timezone, actor=actor)


def _max_jobs(draft: Draft) -> int | None:
    text = draft.max_jobs
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    return number if 1 <= number <= MOST_JOBS else None


def _changed_limit(remote: Remote, draft: Draft) -> list[str]:
    if remote.max_jobs == _max_jobs(draft):
        return []
    return [f"{remote.max_jobs or 'no limit'} to {_max_jobs(draft) or 'no limit'}"]


def _open_jobs(remote_id: int) -> Any:
    return (
        select(Job.id)
        .where(
            or_(Job.source_remote_id == remote_id, Job.destination_remote_id == remote_id),
            Job.finished_at.is_(None),
        )
        .order_by(Job.id)
    )


def _still_needed(name: str, waiting: list[int]) -> str:
    if len(waiting) == 1:
        return f"Job {waiting[0]} still uses {name}. Cancel it or wait until it ends."
    others = f"Job {waiting[0]} and {len(waiting) - 1:,} more still use {name}."
    return f"{others} Cancel them or wait until they end."


def _lock_remote(tx: Session, remote_id: int) -> Remote:
    remote = tx.get(Remote, remote_id, with_for_update=True, populate_existing=True)
    if remote is None:
        raise NotFound("There is no such remote.")
    return remote


def _name_list(what: str, names: Any) -> str:
    return f"{what}: {', '.join(names)}" if names else ""


def _note(
    tx: Session,
    action: str,
    remote: Remote,
    actor: Actor,
    detail: str,
    outcome: str = "ok",
) -> None:
    audit.record(
        tx,
        action,
        actor,
        target=f"remote {remote.name}",
        detail=detail.removeprefix("; "),
        outcome=outcome,
    )
