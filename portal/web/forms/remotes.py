"""The form of a remote, built from rclone's own descriptions of the allowed options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wtforms import (
    BooleanField,
    Field,
    HiddenField,
    PasswordField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice

from portal.models import Remote
from portal.remotes import option_words
from portal.remotes import options as parameters
from portal.remotes.backends import Backend
from portal.remotes.option_words import help_text
from portal.services import bandwidth_budgets
from portal.services.storage import connections, remotes
from portal.services.storage.remotes import Draft
from portal.transfers.validation import BANDWIDTH_LENGTH
from portal.web.forms.base import Form

_OPTION = "option_"
_CLEAR = "clear_"
_ROLE_LABELS = {"operator": "Everyone who may create jobs", "admin": "Admins only"}
_HELP_LENGTH = 220
_ENTER_AGAIN = "Enter this again: secrets are never sent back to the page."
#: Values with which a new remote begins, where they are safer than rclone's own default.
_BEGIN_WITH = {("ftp", "explicit_tls"): True}


class SecretArea(TextAreaField):
    """Like a password field with several lines: the page does not contain what was typed."""

    def _value(self) -> str:
        return ""


class RemoteForm(Form):
    """Fields of options are added for each backend: see ``form_for``."""

    name = StringField("Name")
    role = SelectField(
        "Who may use it",
        choices=[SelectChoice(str(role), _ROLE_LABELS[role]) for role in remotes.ROLES],
        validate_choice=False,
    )
    start = StringField("Start folder")
    bandwidth_budget = StringField("Bandwidth budget", render_kw={"maxlength": BANDWIDTH_LENGTH})
    max_jobs = StringField("Jobs at once")
    version = HiddenField()

    backend: Backend
    stored: frozenset[str] = frozenset()
    #: Of the person who fills it in.
    timezone = "UTC"

    def option(self, name: str) -> Field:
        return self[_OPTION + name]

    def clear(self, name: str) -> Field:
        return self[_CLEAR + name]

    def draft(self) -> Draft:
        typed = {name: _text(self.option(name)) for name in self.backend.allowed}
        cleared = {name for name in self.backend.secrets if self.clear(name).data}
        return Draft(
            role=self.role.data or "",
            start=(self.start.data or "").strip(),
            options=typed,
            max_jobs=(self.max_jobs.data or "").strip(),
            cleared=frozenset(cleared),
            bandwidth_budget=(self.bandwidth_budget.data or "").strip(),
            timezone=self.timezone,
        )

    def say(self, errors: Mapping[str, str]) -> None:
        """Shows each error beside its field."""
        for key, problem in errors.items():
            name = key.replace("options.", _OPTION, 1)
            self[name if name in self else "name"].errors = [problem]

    def ask_again(self) -> None:
        """Marks the secrets that were typed: the page with the errors does not contain them, and an
        empty field would keep the value that was stored before."""
        for name in self.backend.secrets:
            field = self.option(name)
            if field.data and not field.errors:
                field.errors = [_ENTER_AGAIN]

    @property
    def folded(self) -> bool:
        """Whether the rarer options may stay folded."""
        fields = [self.option(name) for name in self.backend.more]
        return not any(
            field.errors or (field.data and field.data != field.default) for field in fields
        )


def form_for(backend: Backend, remote: Remote | None = None, **options: Any) -> RemoteForm:
    """Returns the form of this backend, filled with the remote's values unless something was
    typed."""
    made = type("RemoteFormOfBackend", (RemoteForm,), _fields(backend))
    form: RemoteForm = made(data=_data(remote) if remote else None, **options)
    form.backend = backend
    form.stored = frozenset(remote.secrets if remote else ())
    return form


def help_of(backend: Backend, name: str) -> str:
    """Returns the help text of an option, in a line or two."""
    if (ours := help_text(name, backend.key)) is not None:
        return ours
    text = connections.known_options(backend.key)[name].help.split("\n\n")[0].replace("\n", " ")
    text = text.replace("`", "").strip()
    return text if len(text) <= _HELP_LENGTH else text[:_HELP_LENGTH].rpartition(" ")[0] + " …"


def _fields(backend: Backend) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, option in connections.known_options(backend.key).items():
        if name not in backend.allowed:
            continue
        made[_OPTION + name] = _field(backend, name, option)
        if name in backend.secrets:
            made[_CLEAR + name] = BooleanField("Delete the saved value")
    return made


def _field(backend: Backend, name: str, option: Any) -> Any:
    label = option_words.label(name, backend.key)
    if name in parameters.LONG:
        return SecretArea(label) if name in backend.secrets else TextAreaField(label)
    if name in backend.secrets:
        return PasswordField(label)
    if option.kind == "bool":
        begin = _BEGIN_WITH.get((backend.key, name), option.default == "true")
        return BooleanField(label, default=begin)
    if allowed := parameters.choices(option):
        pairs = [SelectChoice(value, _choice(value, words)) for value, words in allowed]
        return SelectField(
            label,
            choices=[
                SelectChoice("", "Choose…" if (name,) in backend.needs else "Default"),
                *pairs,
            ],
            default="",
            validate_choice=False,
        )
    # For ``user`` the default is the account that runs the portal.
    shown = "" if name == "user" or option.default in ("", "0", "off") else option.default
    return StringField(label, render_kw={"placeholder": shown} if shown else None)


def _choice(value: str, words: str) -> str:
    line = words.splitlines()[0].rstrip(".") if words else ""
    return f"{value} – {line}" if line else value


def _data(remote: Remote) -> dict[str, Any]:
    known = connections.known_options(remote.backend)
    values: dict[str, Any] = {
        _OPTION + name: (remote.options.get(name) or option.default) == "true"
        for name, option in known.items()
        if option.kind == "bool"
    }
    values |= {
        _OPTION + name: text
        for name, text in remote.options.items()
        if name in known and known[name].kind != "bool"
    }
    kept = {
        "name": remote.name,
        "role": remote.role,
        "start": remote.start,
        "bandwidth_budget": bandwidth_budgets.rate_of(remote.id),
        "max_jobs": remote.max_jobs,
    }
    return {**values, **kept, "version": str(remote.version)}


def _text(field: Field) -> str:
    if isinstance(field, BooleanField):
        return "true" if field.data else "false"
    return field.data or ""
