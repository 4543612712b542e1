from __future__ import annotations

from flask import url_for
from pydantic import Field

from portal import models
from portal.models import Role
from portal.services.accounts import password_links
from portal.services.accounts import users as accounts
from portal.web.access import actor, user_or_404
from portal.web.routes.api.operations import Answer, operation
from portal.web.routes.api.paging import (
    LINKS,
    Paged,
    Pages,
    answer_page,
    pages_of,
)
from portal.web.routes.api.shapes import RequestBody, ResponseBody, Timestamp

_LAST_ADMIN = "This is the last active admin."


class User(ResponseBody):
    id: int
    username: str
    role: Role
    active: bool = Field(description="If false, the user cannot sign in and has no tokens.")
    created_at: Timestamp
    last_sign_in_at: Timestamp | None


class InvitedUser(User):
    password_link: str = Field(
        description="Address where the user sets a password, once within 72 hours. Shown only here."
    )


class UserPage(Paged):
    items: list[User]


class UsersQuery(Pages):
    q: str = Field("", max_length=64, description="Part of a user name.")


class NewUser(RequestBody):
    username: str = Field(
        min_length=1,
        max_length=64,
        description="Letters, digits, dots, dashes and underscores; kept in lower case.",
    )
    role: Role


class NewRole(RequestBody):
    role: Role


@operation(
    "GET",
    "/users",
    right=Role.ADMIN,
    query=UsersQuery,
    shape=UserPage,
    answers={200: "Users of one page, by name. A page after the last is empty."},
    answer_headers=LINKS,
)
def list_users(query: UsersQuery) -> Answer:
    """List users"""
    text = query.q.replace("\0", "")
    users, total = accounts.search(text, query.page, query.per_page)
    pages = pages_of(total, query.per_page)
    items = [_to_shape(user) for user in users]
    return answer_page(UserPage, items, query, pages=pages, total=total)


@operation(
    "POST",
    "/users",
    right=Role.ADMIN,
    body=NewUser,
    shape=InvitedUser,
    answers={201: "The new user. Nobody can sign in as them until the link has set a password."},
    answer_headers={"Location": "Path of the user."},
)
def create_user(body: NewUser) -> Answer:
    """Invite a user"""
    user, token = password_links.invite(body.username, body.role, actor=actor())
    link = url_for("password_links.show", token=token, _external=True)
    shown = InvitedUser(**_to_shape(user).model_dump(mode="python"), password_link=link)
    return Answer(shown, 201, {"Location": url_for("api.get_user", user_id=user.id)})


@operation("GET", "/users/<id:user_id>", right=Role.ADMIN, shape=User, answers={200: "The user."})
def get_user(user_id: int) -> User:
    """Get one user"""
    return _to_shape(user_or_404(user_id))


@operation(
    "POST",
    "/users/<id:user_id>/role",
    right=Role.ADMIN,
    body=NewRole,
    shape=User,
    answers={200: "The user. The role is in force at once, for sessions and tokens alike."},
    refusals={409: _LAST_ADMIN},
)
def change_role(user_id: int, body: NewRole) -> User:
    """Change a user's role"""
    user_or_404(user_id)
    return _to_shape(accounts.change_role(user_id, body.role, actor=actor()))


@operation(
    "POST",
    "/users/<id:user_id>/disable",
    right=Role.ADMIN,
    shape=User,
    answers={200: "The user, disabled: their sessions, sockets and tokens have ended."},
    refusals={409: _LAST_ADMIN},
)
def disable_user(user_id: int) -> User:
    """Disable a user"""
    user_or_404(user_id)
    return _to_shape(accounts.set_active(user_id, False, actor=actor()))


@operation(
    "POST",
    "/users/<id:user_id>/enable",
    right=Role.ADMIN,
    shape=User,
    answers={200: "The user, who can sign in again. Ended tokens stay ended."},
)
def enable_user(user_id: int) -> User:
    """Enable a user"""
    user_or_404(user_id)
    return _to_shape(accounts.set_active(user_id, True, actor=actor()))


def _to_shape(user: models.User) -> User:
    return User.model_validate(user)
