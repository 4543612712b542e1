from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask import session as browser_session
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from portal.errors import Invalid, TooMany
from portal.models import Role
from portal.presentation.formatting import duration
from portal.services.accounts import users
from portal.web.access import actor, me, requires
from portal.web.forms.accounts import PasswordForm
from portal.web.forms.settings import SettingsForm

blueprint = Blueprint("settings", __name__)


@blueprint.get("/settings")
@requires(Role.VIEWER)
def show() -> str:
    return _page(SettingsForm(formdata=None, obj=me().settings), PasswordForm(formdata=None))


@blueprint.post("/settings")
@requires(Role.VIEWER)
def change() -> Response | tuple[str, int]:
    form = SettingsForm(_sent_or_kept())
    if not form.validate():
        return _page(form, PasswordForm(formdata=None)), 422
    users.change_settings(actor(), form.changes(set(request.form)))
    flash("Your settings are saved.")
    return redirect(url_for("settings.show"), 303)


@blueprint.post("/settings/password")
@requires(Role.VIEWER)
def change_password() -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    form = PasswordForm()
    try:
        if not form.validate():
            raise Invalid({})
        fresh = users.change_password(
            actor(),
            form.current_password.data or "",
            form.new_password.data or "",
            end_tokens=bool(form.end_tokens.data),
        )
        browser_session["_user_id"] = fresh  # where Flask-Login keeps it
    except Invalid as invalid:
        for name, problem in invalid.errors.items():
            form[name].errors = [*form[name].errors, problem]
        return _page(SettingsForm(formdata=None, obj=me().settings), form), 422
    except TooMany as limited:
        wait = duration(limited.seconds)
        form.current_password.errors = [f"Too many attempts. Wait {wait} and try again."]
        page = _page(SettingsForm(formdata=None, obj=me().settings), form)
        return page, 429, {"Retry-After": str(limited.seconds)}
    flash("Your password is changed. Your other sessions are signed out.")
    return redirect(url_for("settings.show"), 303)


def _sent_or_kept() -> MultiDict[str, str]:
    kept = me().settings
    sent = MultiDict(request.form)
    for name in SettingsForm.NAMES:
        if name not in sent:
            sent[name] = str(getattr(kept, name))
    return sent


def _page(form: SettingsForm, password_form: PasswordForm) -> str:
    return render_template("settings.html", form=form, password_form=password_form)
