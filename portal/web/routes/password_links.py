from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal.errors import Invalid
from portal.services.accounts import password_links
from portal.web.access import address, public
from portal.web.forms.accounts import NewPasswordForm

blueprint = Blueprint("password_links", __name__)


@blueprint.get("/password/<token>")
@public
def show(token: str) -> str:
    return _page(token, NewPasswordForm(formdata=None))


@blueprint.post("/password/<token>")
@public
def use(token: str) -> Response | tuple[str, int]:
    """Only this POST uses the link up: programs that scan mails open every link in them."""
    form = NewPasswordForm()
    try:
        if not form.validate():
            raise Invalid({})
        user = password_links.use(token, form.new_password.data or "", address=address())
    except Invalid as invalid:
        form.new_password.errors = [*form.new_password.errors, *invalid.errors.values()]
        return _page(token, form), 422
    flash(f"Your password is set. Sign in as {user.username}.")
    return redirect(url_for("sessions.login"), 303)


def _page(token: str, form: NewPasswordForm) -> str:
    owner = password_links.owner(token)
    return render_template("password_link.html", form=form, owner=owner)
