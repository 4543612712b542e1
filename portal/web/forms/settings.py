"""Forms of a user's own settings and tokens."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from wtforms import (
    DateField,
    Field,
    IntegerField,
    SelectField,
    StringField,
)
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, NumberRange, Optional

from portal.models import Scope, User
from portal.web.forms.base import Form
from portal.web.forms.jobs import _choices

THEMES = ("auto", "light", "dark")


SCOPES = {
    Scope.READ: "Read – watch jobs and statistics",
    Scope.OPERATE: "Operate – also create, cancel and retry jobs",
    Scope.ADMIN: "Admin – also everyone's jobs, and users",
}


class SettingsForm(Form):
    """A field that is not in the request keeps its value."""

    NAMES = ("refresh_interval", "theme", "timezone", "notifications")

    refresh_interval = IntegerField(
        "Refresh figures every",
        [
            InputRequired("Enter a number of seconds from 1 to 60."),
            NumberRange(1, 60, "Enter a number of seconds from 1 to 60."),
        ],
    )
    theme = SelectField("Theme", choices=_choices(THEMES))
    timezone = SelectField(
        "Time zone", choices=[SelectChoice(zone) for zone in sorted(available_timezones())]
    )
    notifications = SelectField(
        "Notify when a job ends",
        choices=[SelectChoice("off", "Off"), SelectChoice("on", "On, in this browser")],
    )

    def changes(self, sent: set[str]) -> dict[str, str | int]:
        return {name: self._fields[name].data for name in self.NAMES if name in sent}


class TokenForm(Form):
    """The form of an API token. It offers no scope above the user's role."""

    ON_A_DAY = "day"

    name = StringField("Name", [InputRequired("Enter a name for the token.")])
    scope = SelectField("Scope")
    expires = SelectField(
        "Expires",
        choices=[
            SelectChoice("30", "In 30 days"),
            SelectChoice("90", "In 90 days"),
            SelectChoice("365", "In 365 days"),
            SelectChoice(ON_A_DAY, "On a date"),
        ],
        default="90",
    )
    day = DateField("Day", [Optional()], render_kw={"type": "date"})

    def __init__(self, user: User, **options: Any) -> None:
        super().__init__(**options)
        self.scope.choices = [
            SelectChoice(str(scope), SCOPES[scope]) for scope in Scope if user.may(scope.role)
        ]

    def beside(self, name: str) -> Field:
        """Returns the field beside which an error of ``tokens.create`` is shown."""
        on_a_day = name == "expires" and self.expires.data == self.ON_A_DAY
        return self["day" if on_a_day else name]
