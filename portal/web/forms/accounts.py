"""Forms about people: sign-in, passwords, second factors, new users."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    PasswordField,
    SelectField,
    StringField,
)
from wtforms.validators import InputRequired, Length

from portal.models import Role
from portal.web.forms.jobs import _choices


class SignInForm(FlaskForm):
    username = StringField("User name", [InputRequired("Enter your user name."), Length(max=200)])
    password = PasswordField("Password", [InputRequired("Enter your password."), Length(max=1024)])
    remember = BooleanField("Stay signed in")


class PasswordForm(FlaskForm):
    current_password = PasswordField("Current password", [InputRequired("Enter your password.")])
    new_password = PasswordField("New password", [InputRequired("Enter a new password.")])


class NewPasswordForm(FlaskForm):
    new_password = PasswordField("New password", [InputRequired("Enter a new password.")])


class NewUserForm(FlaskForm):
    username = StringField("User name", [InputRequired("Enter a user name."), Length(max=64)])
    role = SelectField("Role", choices=_choices(Role))


class CodeForm(FlaskForm):
    code = StringField("Code", [InputRequired("Enter a code."), Length(max=64)])


class ConfirmForm(FlaskForm):
    current_password = PasswordField("Current password", [InputRequired("Enter your password.")])


class FactorForm(ConfirmForm, CodeForm):
    """Asks for both proofs, password and code, before the way to sign in is changed."""
