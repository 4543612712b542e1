"""The forms of a job. They show all errors at once beside their fields, and keep what was typed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from wtforms import (
    BooleanField,
    HiddenField,
    SelectField,
    StringField,
    TextAreaField,
)
from wtforms.fields.choices import SelectChoice

from portal.errors import Invalid
from portal.transfers import validation
from portal.transfers.local_paths import Roots
from portal.transfers.locations import Location
from portal.transfers.option_kinds import Flag, Number, Patterns
from portal.transfers.options import OPTIONS, Option, Options
from portal.transfers.request import Transfer
from portal.transfers.states import Operation
from portal.transfers.validation import BANDWIDTH_LENGTH, RawOptions
from portal.web.forms.base import Form

OPERATIONS = {
    Operation.COPY: "Copies what is new or changed. Deletes nothing.",
    Operation.SYNC: "Makes the destination match the source. Deletes files that exist only there.",
    Operation.MOVE: "Copies, then deletes each file at the source.",
    Operation.CHECK: "Compares both sides. Changes nothing.",
}


def _choices(values: Iterable[str]) -> list[SelectChoice]:
    return [SelectChoice(str(value), str(value).capitalize()) for value in values]


class JobForm(Form):
    """Keeps what was typed. The rules are in ``validation``."""

    name = StringField("Name", filters=[lambda text: text.strip() if text else text])
    operation = SelectField(
        "Operation",
        choices=_choices(Operation),
        default=Operation.COPY.value,
        validate_choice=False,
    )
    source = StringField("Source folder or file")
    destination = StringField("Destination folder")
    bandwidth_limit = StringField(
        "Bandwidth limit",
        description="10M is 10 MiB per second; 10 MB/s and 100 Mbit/s work too. Or a"
        " timetable in your time zone: 08:00,10M 19:00,off. Leave empty for no limit.",
        render_kw={"maxlength": BANDWIDTH_LENGTH},
    )
    dry_run = BooleanField("Dry run: report what would happen, change nothing")
    #: Not shown if there is nothing to choose; see ``offer``.
    pool = SelectField("Workers", choices=[SelectChoice("", "Any")], validate_choice=False)
    #: Sent by the page and not by programs: before a job that deletes files starts, the page shows
    #: them and asks for confirmation.
    guarded = HiddenField(default="y")

    @property
    def unfolded(self) -> bool:
        """Whether the folded part has to be open: a field in it was changed, or has an error."""
        folded = ("bandwidth_limit", *(option.name for option in OPTIONS), "dry_run")
        return any(
            self[name].errors or (self[name].data or "") != (self[name].default or "")
            for name in folded
        )

    @property
    def filters(self) -> list[Any]:
        return [self[option.name] for option in OPTIONS if option.is_filter]

    @property
    def numbers(self) -> list[Any]:
        return [self[option.name] for option in OPTIONS if isinstance(option.kind, Number)]

    @property
    def flags(self) -> list[Any]:
        return [self[option.name] for option in OPTIONS if isinstance(option.kind, Flag)]

    def offer(self, pools: Mapping[str, bool]) -> None:
        """``pools``: for each pool, whether a living worker serves it."""
        self.pool.choices = [
            SelectChoice("", "Default pool"),
            *(
                SelectChoice(
                    name, f"Pool {name}" if lives else f"Pool {name} – no workers right now"
                )
                for name, lives in pools.items()
            ),
        ]

    def raw_options(self) -> RawOptions:
        return {option.name: self[option.name].data for option in OPTIONS}

    def transfer(
        self,
        roots: Roots,
        remotes: Mapping[str, int],
        timezone: str,
        pools: Collection[str] = (),
    ) -> Transfer:
        """Returns the transfer that was typed by somebody in this time zone, who may use these
        remotes; ``pools`` are those that exist. Raises Invalid, and shows each error beside its
        field."""
        with self.beside_fields():
            return validation.validate_transfer(
                name=self.name.data or "",
                operation=self.operation.data or "",
                source=self.source.data or "",
                destination=self.destination.data or "",
                bandwidth_limit=self.bandwidth_limit.data or "",
                dry_run=bool(self.dry_run.data),
                roots=roots,
                remotes=remotes,
                raw=self.raw_options(),
                timezone=timezone,
                pool=self.pool.data or "",
                pools=pools,
            )

    def selection(self, roots: Roots, remotes: Mapping[str, int]) -> tuple[Location, Options]:
        """Returns which files were selected, whatever the rest of the form says. Raises as
        ``transfer``."""
        with self.beside_fields():
            return validation.validate_selection(
                self.source.data or "", self.raw_options(), roots=roots, remotes=remotes
            )

    @contextmanager
    def beside_fields(self) -> Iterator[None]:
        try:
            yield
        except Invalid as invalid:
            for field, problem in invalid.errors.items():
                self[field].errors = [problem]
            raise

    @property
    def wants_plan(self) -> bool:
        return bool(self.guarded.raw_data)


def _option_field(option: Option) -> Any:
    """Builds the form's field of an option; ``option.help`` is shown below it."""
    words = {"label": option.label, "description": option.help}
    match option.kind:
        case Patterns():
            return TextAreaField(**words, render_kw={"rows": 3})
        case Flag():
            return BooleanField(**words)
        case Number():
            return StringField(**words, default=str(option.default))
    return StringField(**words)


for _option in OPTIONS:
    setattr(JobForm, _option.name, _option_field(_option))


class BandwidthForm(Form):
    """The bandwidth limit of a job that runs or waits."""

    bandwidth_limit = StringField("Bandwidth limit", render_kw={"maxlength": BANDWIDTH_LENGTH})

    def limit(self) -> str | None:
        """Raises Invalid, and shows the error beside the field."""
        try:
            return validation.validate_bandwidth(self.bandwidth_limit.data or "")
        except Invalid as invalid:
            self.bandwidth_limit.errors = list(invalid.errors.values())
            raise


class ConfirmPlanForm(Form):
    confirm = StringField("", render_kw={"autocomplete": "off", "spellcheck": "false"})
