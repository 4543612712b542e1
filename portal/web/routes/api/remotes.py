from __future__ import annotations

from typing import Literal

from flask import url_for
from pydantic import Field

from portal import models
from portal.models import Role
from portal.remotes.backends import BACKENDS
from portal.remotes.options import MAX_KEY_LENGTH
from portal.services import bandwidth_budgets
from portal.services.storage import remotes
from portal.services.storage.remotes import Draft
from portal.transfers.locations import NAME_LENGTH
from portal.transfers.validation import BANDWIDTH_LENGTH
from portal.web.access import actor, me
from portal.web.rate_limits import RequestKind, limited_as
from portal.web.routes.api.operations import Answer, operation
from portal.web.routes.api.shapes import RequestBody, ResponseBody, Timestamp

_BACKENDS = ", ".join(BACKENDS)
_OPTIONS = (
    "By rclone's names, those that the page offers. Secrets are given here as well and never shown "
    "again"
)
_LOCATION = {"Location": "Path of the remote."}
Options = dict[str, str]


class Remote(ResponseBody):
    """A storage elsewhere. Jobs use it as ``name:path``."""

    id: int
    name: str
    backend: str = Field(description=f"One of {_BACKENDS}.")
    role: Role = Field(description="Lowest role that may use it.")
    start: str = Field(description="Folder where browsing begins, and which a test lists.")
    max_jobs: int | None = Field(
        description="How many of its jobs may run at once; null for no limit."
    )


class RemoteInFull(Remote):
    """A remote as admins see it: everything but the secrets."""

    version: int = Field(description="Grows with every change.")
    bandwidth_budget: str | None = Field(
        description="What all jobs together may move from and to it: a rate such as `10M`, or a"
        " timetable; null for no limit."
    )
    options: Options
    secrets: list[str] = Field(description="Names of the secrets that are stored.")
    changed_at: Timestamp
    changed_by: str
    tested_at: Timestamp | None
    works: bool | None = Field(description="Verdict of the last test of this version.")
    verdict: str


class RemoteList(ResponseBody):
    items: list[Remote]


class _RemoteFields(RequestBody):
    role: Literal["operator", "admin"] = Field(
        "operator", description="Lowest role that may use it."
    )
    start: str = Field("", max_length=1000)
    bandwidth_budget: str | None = Field(
        None,
        max_length=BANDWIDTH_LENGTH,
        description="What all jobs together may move from and to it: a rate such as `10M`, or a"
        " timetable by the clock of your time zone. Empty: no limit. Null: as it is.",
    )
    max_jobs: int | None = Field(
        None,
        ge=1,
        le=remotes.MOST_JOBS,
        description="How many of its jobs may run at once; null for no limit.",
    )

    options: Options = Field(max_length=60)

    def draft(self, cleared: frozenset[str] = frozenset()) -> Draft:
        options = {name: text[: MAX_KEY_LENGTH + 1] for name, text in self.options.items()}
        return Draft(
            role=self.role,
            start=self.start,
            max_jobs="" if self.max_jobs is None else str(self.max_jobs),
            options=options,
            cleared=cleared,
            bandwidth_budget=self.bandwidth_budget,
            timezone=me().settings.timezone,
        )


class NewRemote(_RemoteFields):
    name: str = Field(
        min_length=1,
        max_length=NAME_LENGTH,
        description="Lowercase letters, digits and dashes; it cannot be changed later.",
    )
    backend: str = Field(min_length=1, max_length=32, description=f"One of {_BACKENDS}.")
    options: Options = Field(max_length=60, description=f"{_OPTIONS}.")


class ChangedRemote(_RemoteFields):
    """Replaces all options; a secret that is left out stays as it is."""

    version: int = Field(ge=1, le=2**31 - 1, description="The version that you have read.")
    options: Options = Field(max_length=60, description=f"{_OPTIONS}; one left out is kept.")
    remove_secrets: list[str] = Field(
        [], max_length=20, description="Names of stored secrets to remove."
    )


@operation(
    "GET",
    "/remotes",
    right=Role.OPERATOR,
    shape=RemoteList,
    answers={200: "All remotes that you may use, by name."},
)
def list_remotes() -> RemoteList:
    """List remotes"""
    return RemoteList(items=[Remote.model_validate(one) for one in remotes.usable(me())])


@operation(
    "POST",
    "/remotes",
    right=Role.ADMIN,
    body=NewRemote,
    shape=RemoteInFull,
    answers={201: "The new remote. Nobody has tested it yet."},
    answer_headers=_LOCATION,
)
def create_remote(body: NewRemote) -> Answer:
    """Add a remote"""
    made = remotes.create(body.name, body.backend, body.draft(), actor=actor())
    location = url_for("api.get_remote", remote_id=made.id)
    return Answer(_to_shape(made), 201, {"Location": location})


@operation(
    "GET",
    "/remotes/<id:remote_id>",
    right=Role.ADMIN,
    shape=RemoteInFull,
    answers={200: "The remote."},
)
def get_remote(remote_id: int) -> RemoteInFull:
    """Get one remote"""
    return _to_shape(remotes.find(remote_id))


@operation(
    "POST",
    "/remotes/<id:remote_id>",
    right=Role.ADMIN,
    body=ChangedRemote,
    shape=RemoteInFull,
    answers={200: "The remote as it is now."},
    refusals={409: "Somebody has changed it since this version."},
)
def change_remote(remote_id: int, body: ChangedRemote) -> RemoteInFull:
    """Change a remote

    For another server the secrets have to be given again.
    """
    draft = body.draft(frozenset(body.remove_secrets))
    changed = remotes.change(remote_id, body.version, draft, actor=actor())
    return _to_shape(changed)


@operation(
    "POST",
    "/remotes/<id:remote_id>/test",
    right=Role.ADMIN,
    shape=RemoteInFull,
    answers={200: "The remote with the verdict."},
    refusals={
        429: "Two of your questions to storages wait already, or you sent too many requests."
    },
)
@limited_as(RequestKind.STORAGES)
def test_remote(remote_id: int) -> RemoteInFull:
    """Test the connection of a remote"""
    return _to_shape(remotes.test(remote_id, actor=actor()))


@operation(
    "POST",
    "/remotes/<id:remote_id>/delete",
    right=Role.ADMIN,
    shape=Remote,
    answers={200: "The remote that was deleted, with its secrets."},
    refusals={409: "Jobs that are not over use it."},
)
def delete_remote(remote_id: int) -> Remote:
    """Delete a remote"""
    return Remote.model_validate(remotes.delete(remote_id, actor=actor()))


def _to_shape(remote: models.Remote) -> RemoteInFull:
    columns = {name: getattr(remote, name, None) for name in RemoteInFull.model_fields}
    budget = bandwidth_budgets.rate_of(remote.id)
    more = {"secrets": sorted(remote.secrets), "bandwidth_budget": budget}
    return RemoteInFull(**columns | more)
