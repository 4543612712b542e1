"""What people type. All errors at once, beside their fields; what was typed is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from zoneinfo import available_timezones

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    Field,
    IntegerField,
    PasswordField,
    SelectField,
    StringField,
    ValidationError,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional

from portal.models import Role
from portal.paths import PathRefused, nested, resolve
from portal.services.jobs import Transfer
from portal.states import Operation

# What rclone reads as a size, and no more bytes than its 63 bits hold: it takes `10Mi` and `10MiB`,
# not `10MB`.
_BANDWIDTH = re.compile(
    r"off|\d{1,9}(\.\d{1,3})?(b|[kmg](ib?)?)?|\d{1,3}(\.\d{1,3})?[tp](ib?)?",
    re.IGNORECASE | re.ASCII,
)

THEMES = ("auto", "light", "dark")
OPERATIONS = {
    Operation.COPY: "Copies what is new or changed. Deletes nothing.",
    Operation.SYNC: "Makes the destination equal to the source. Deletes what is only there.",
    Operation.MOVE: "Copies, then deletes each file at the source. Emptied folders stay.",
    Operation.CHECK: "Compares both sides. Changes nothing.",
}


def _choices(values: Iterable[str]) -> list[SelectChoice]:
    return [SelectChoice(str(value), str(value).capitalize()) for value in values]


def _plain(_form: FlaskForm, field: Field) -> None:
    """One line of characters: anything else would break a list or a log."""
    if field.data and not field.data.isprintable():
        raise ValidationError("Use plain characters, without line breaks.")


class SignInForm(FlaskForm):
    username = StringField("User name", [InputRequired("Type your user name."), Length(max=200)])
    password = PasswordField("Password", [InputRequired("Type your password."), Length(max=1024)])
    remember = BooleanField("Stay signed in for 14 days")


class JobForm(FlaskForm):
    name = StringField(
        "Name",
        [
            DataRequired("Give the transfer a name."),
            Length(max=200, message="Use at most 200 characters."),
            _plain,
        ],
        filters=[lambda text: text.strip() if text else text],
    )
    operation = SelectField(
        "Operation",
        choices=_choices(Operation),
        default=Operation.COPY.value,
    )
    source = StringField("Source folder or file", [InputRequired("Say where to copy from.")])
    destination = StringField("Destination folder", [InputRequired("Say where to copy to.")])
    bandwidth_limit = StringField(
        "Bandwidth limit", [Optional(), Length(max=64, message="Use at most 64 characters.")]
    )
    dry_run = BooleanField("Dry run: only say what would be done")

    def __init__(self, roots: Sequence[Path]) -> None:
        super().__init__()
        self._roots = roots

    def validate_source(self, field: StringField) -> None:
        self._resolved(field)

    def validate_destination(self, field: StringField) -> None:
        destination = self._resolved(field)
        try:
            source = resolve(self.source.data or "", self._roots)
        except PathRefused:
            return  # said beside the source
        if nested(source, destination):
            raise ValidationError("This lies inside the source, or the source inside it.")

    def validate_bandwidth_limit(self, field: StringField) -> None:
        text = (field.data or "").strip()
        if not _BANDWIDTH.fullmatch(text):
            raise ValidationError(
                "Write a number and a unit, such as 10M or 512k, for each second."
            )

    def _resolved(self, field: StringField) -> Path:
        try:
            path = resolve(field.data or "", self._roots)
        except PathRefused as refused:
            raise ValidationError(str(refused)) from None
        try:
            str(path).encode()
        except UnicodeEncodeError:
            # Typed as text, it led through a link to a name that is none. No row can hold it.
            raise ValidationError("This leads to a folder whose name is not UTF-8 text.") from None
        return path

    def transfer(self) -> Transfer:
        """What was asked for; call it on a valid form only."""
        return Transfer(
            name=self.name.data or "",
            operation=Operation(self.operation.data),
            source=str(resolve(self.source.data or "", self._roots)),
            destination=str(resolve(self.destination.data or "", self._roots)),
            bandwidth_limit=(self.bandwidth_limit.data or "").strip() or None,
            dry_run=bool(self.dry_run.data),
        )


class SettingsForm(FlaskForm):
    """A field left out of the request keeps its value."""

    NAMES = ("refresh_interval", "theme", "timezone", "notifications")

    refresh_interval = IntegerField(
        "Refresh figures every",
        [
            InputRequired("Give a number of seconds from 1 to 60."),
            NumberRange(1, 60, "Give a number of seconds from 1 to 60."),
        ],
    )
    theme = SelectField("Theme", choices=_choices(THEMES))
    timezone = SelectField(
        "Time zone", choices=[SelectChoice(zone) for zone in sorted(available_timezones())]
    )
    notifications = SelectField(
        "Notify when a transfer ends",
        choices=[SelectChoice("off", "Off"), SelectChoice("on", "On, in this browser")],
    )

    def changes(self, sent: set[str]) -> dict[str, str | int]:
        return {name: self._fields[name].data for name in self.NAMES if name in sent}


class PasswordForm(FlaskForm):
    current_password = PasswordField("Current password", [InputRequired("Type your password.")])
    new_password = PasswordField("New password", [InputRequired("Type a new password.")])


class NewUserForm(FlaskForm):
    username = StringField("User name", [InputRequired("Give a user name."), Length(max=64)])
    role = SelectField("Role", choices=_choices(Role))
