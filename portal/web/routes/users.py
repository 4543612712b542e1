from collections.abc import Sequence

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.errors import Invalid
from portal.models import Role
from portal.services.accounts import (
    api_tokens,
    password_links,
    passwords,
    second_factor,
    shown_once,
)
from portal.services.accounts import (
    users as accounts,
)
from portal.transfers.counted import counted
from portal.web.access import actor, me, requires, user_or_404
from portal.web.error_pages import is_htmx
from portal.web.forms.accounts import NewUserForm
from portal.web.routes.paging import page_number

blueprint = Blueprint("users", __name__, url_prefix="/users")

_PAGE_SIZE = 50
_KIND = "user"


@blueprint.get("")
@requires(Role.ADMIN)
def index() -> str:
    # A region that is fetched again shows no note: it would be lost.
    notes = [] if is_htmx() else shown_once.take(me(), _KIND)
    return _page(NewUserForm(formdata=None), page_number(), request.args.get("q", "")[:64], notes)


@blueprint.post("")
@requires(Role.ADMIN)
def create() -> Response | tuple[str, int]:
    """Creates a user with a link if ``by`` says so, otherwise with a generated password."""
    form = NewUserForm()
    try:
        if not form.validate():
            raise Invalid({})
        _invite(form) if request.form.get("by") == "link" else _create(form)
    except Invalid as invalid:
        for name, problem in invalid.errors.items():
            form[name].errors = [*form[name].errors, problem]
        return _page(form, 1, ""), 422
    return redirect(url_for("users.index"), 303)


@blueprint.post("/<id:user_id>/role")
@requires(Role.ADMIN)
def change_role(user_id: int) -> Response:
    user = accounts.change_role(
        user_or_404(user_id).id, request.form.get("role", ""), actor=actor()
    )
    return _done(f"{user.username} is now {user.role}.")


@blueprint.post("/<id:user_id>/disable")
@requires(Role.ADMIN)
def disable(user_id: int) -> Response:
    user = accounts.set_active(user_or_404(user_id).id, False, actor=actor())
    return _done(f"{user.username} is disabled and signed out everywhere.")


@blueprint.post("/<id:user_id>/enable")
@requires(Role.ADMIN)
def enable(user_id: int) -> Response:
    user = accounts.set_active(user_or_404(user_id).id, True, actor=actor())
    return _done(f"{user.username} can sign in again.")


@blueprint.post("/<id:user_id>/reset-password")
@requires(Role.ADMIN)
def reset_password(user_id: int) -> Response:
    user, password = accounts.reset_password(user_or_404(user_id).id, actor=actor())
    _show_once(f"New password for {user.username} (shown only now): {password}")
    return redirect(url_for("users.index"), 303)


@blueprint.post("/<id:user_id>/end-tokens")
@requires(Role.ADMIN)
def end_tokens(user_id: int) -> Response:
    user = user_or_404(user_id)
    number = api_tokens.end_all(user.id, actor=actor())
    return _done(f"{counted(number, 'API token')} of {user.username} revoked.")


@blueprint.post("/<id:user_id>/password-link")
@requires(Role.ADMIN)
def link(user_id: int) -> Response:
    user, token = password_links.create(user_or_404(user_id).id, actor=actor())
    _show_link(user.username, token)
    return redirect(url_for("users.index"), 303)


def _invite(form: NewUserForm) -> None:
    user, token = password_links.invite(form.username.data or "", form.role.data, actor=actor())
    _show_link(user.username, token)


def _create(form: NewUserForm) -> None:
    password = passwords.generate()
    user = accounts.create_user(form.username.data or "", form.role.data, password, actor=actor())
    _show_once(f"{user.username} can sign in with this password (shown only now): {password}")


def _show_link(username: str, token: str) -> None:
    address = url_for("password_links.show", token=token, _external=True)
    _show_once(f"Send this link to {username}. It works once, for 72 hours: {address}")


def _show_once(text: str) -> None:
    shown_once.keep(me(), _KIND, [text])


def _done(message: str) -> Response:
    flash(message)
    return redirect(url_for("users.index"), 303)


def _page(form: NewUserForm, number: int, text: str, notes: Sequence[str] = ()) -> str:
    users, total = accounts.search(text, number, _PAGE_SIZE)
    return render_template(
        "users.html",
        form=form,
        users=users,
        total=total,
        text=text,
        number=number,
        pages_count=max(1, -(-total // _PAGE_SIZE)),
        linked=password_links.pending(users),
        protected=second_factor.owners(users),
        notes=notes,
        tokens=api_tokens.numbers_of(users),
        roles=tuple(Role),
    )
