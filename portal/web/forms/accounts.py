"""Forms about people: sign-in, passwords, second factors, new users."""

from __future__ import annotations

from wtforms import (
    BooleanField,
    PasswordField,
    SelectField,
    StringField,
)
from wtforms.validators import InputRequired, Length

from portal.models import Role
from portal.web.forms.base import Form
from portal.web.forms.jobs import _choices


class SignInForm(Form):
    username = StringField("User name", [InputRequired("Enter your user name."), Length(max=200)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=1024)])
    remember = BooleanField("Stay signed in")


class PasswordForm(Form):
    current_password = PasswordField("Current password", [InputRequired("Enter your password.")])
    new_password = PasswordField("New password", [InputRequired("Enter a new password.")])
    end_tokens = BooleanField("Revoke my API tokens as well")


class NewPasswordForm(Form):
    new_password = PasswordField("New password", [InputRequired("Enter a new password.")])


class NewUserForm(Form):
    username = StringField("User name", [InputRequired("Enter a user name."), Length(max=64)])
    role = SelectField("Role", choices=_choices(Role))


class CodeForm(Form):
    code = StringField("Code", [InputRequired("Enter a code."), Length(max=64)])


class ConfirmForm(Form):
    current_password = PasswordField("Current password", [InputRequired("Enter your password.")])


class FactorForm(ConfirmForm, CodeForm):
    """Asks for both proofs, password and code, before the way to sign in is changed."""
