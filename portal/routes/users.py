from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.access import address, me, requires
from portal.errors import Invalid, NotFound
from portal.forms import NewUserForm
from portal.models import Role
from portal.services import accounts

blueprint = Blueprint("users", __name__, url_prefix="/users")

_LARGEST_ID = 2**31 - 1


@blueprint.get("")
@requires(Role.ADMIN)
def index() -> str:
    return _page(NewUserForm(formdata=None))


@blueprint.post("")
@requires(Role.ADMIN)
def create() -> Response | tuple[str, int]:
    form = NewUserForm()
    password = accounts.generated_password()
    try:
        if not form.validate():
            raise Invalid({})
        user = accounts.create_user(
            form.username.data or "", form.role.data, password, actor=me(), address=address()
        )
    except Invalid as invalid:
        for name, problem in invalid.errors.items():
            form[name].errors = [*form[name].errors, problem]
        return _page(form), 422
    flash(f"{user.username} can sign in with this password, shown once: {password}", "secret")
    return redirect(url_for("users.index"), 303)


@blueprint.post("/<int:user_id>/role")
@requires(Role.ADMIN)
def change_role(user_id: int) -> Response:
    user = accounts.change_role(
        _known(user_id), request.form.get("role", ""), actor=me(), address=address()
    )
    return _done(f"{user.username} is now {user.role}.")


@blueprint.post("/<int:user_id>/disable")
@requires(Role.ADMIN)
def disable(user_id: int) -> Response:
    user = accounts.set_active(_known(user_id), False, actor=me(), address=address())
    return _done(f"{user.username} is disabled and signed out everywhere.")


@blueprint.post("/<int:user_id>/enable")
@requires(Role.ADMIN)
def enable(user_id: int) -> Response:
    user = accounts.set_active(_known(user_id), True, actor=me(), address=address())
    return _done(f"{user.username} can sign in again.")


@blueprint.post("/<int:user_id>/reset-password")
@requires(Role.ADMIN)
def reset_password(user_id: int) -> Response:
    user, password = accounts.reset_password(_known(user_id), actor=me(), address=address())
    flash(f"The new password of {user.username}, shown once: {password}", "secret")
    return redirect(url_for("users.index"), 303)


def _known(user_id: int) -> int:
    if user_id > _LARGEST_ID:
        raise NotFound("There is no such user.")
    return user_id


def _done(message: str) -> Response:
    flash(message)
    return redirect(url_for("users.index"), 303)


def _page(form: NewUserForm) -> str:
    return render_template("users.html", form=form, users=accounts.all_users(), roles=tuple(Role))
