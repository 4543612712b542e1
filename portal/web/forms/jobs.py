"""What people type. All errors at once, beside their fields; what was typed is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from flask_wtf import FlaskForm
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
from portal.transfers.locations import Location
from portal.transfers.options import (
    MOST_RETRIES,
    MOST_TRANSFERS,
    USUAL,
    Options,
)
from portal.transfers.request import Transfer
from portal.transfers.states import Operation
from portal.transfers.validation import BANDWIDTH_LENGTH, Typed

OPERATIONS = {
    Operation.COPY: "Copies what is new or changed. Deletes nothing.",
    Operation.SYNC: "Makes the destination equal to the source. Deletes what is only there.",
    Operation.MOVE: "Copies, then deletes each file at the source. Emptied folders stay.",
    Operation.CHECK: "Compares both sides. Changes nothing.",
}


def _choices(values: Iterable[str]) -> list[SelectChoice]:
    return [SelectChoice(str(value), str(value).capitalize()) for value in values]


class JobForm(FlaskForm):
    """Keeps what was typed; the rules are those of ``validation``."""

    name = StringField("Name", filters=[lambda text: text.strip() if text else text])
    operation = SelectField(
        "Operation",
        choices=_choices(Operation),
        default=Operation.COPY.value,
        validate_choice=False,
    )
    source = StringField("Source folder or file")
    destination = StringField("Destination folder")
    bandwidth_limit = StringField("Bandwidth limit", render_kw={"maxlength": BANDWIDTH_LENGTH})
    dry_run = BooleanField("Dry run: only say what would be done")
    #: Not drawn where there is nothing to choose; see ``offer``.
    pool = SelectField("Workers", choices=[SelectChoice("", "Any")], validate_choice=False)
    #: Sent by the page, not by programs: what deletes files is shown and confirmed first.
    guarded = HiddenField(default="y")
    include = TextAreaField("Only these files")
    exclude = TextAreaField("All but these files")
    min_age = StringField("Only files older than")
    max_size = StringField("Only files up to")
    checksum = BooleanField("Compare by checksum")
    verify = BooleanField("Verify after the copy")
    allow_empty_source = BooleanField("Allow an empty source")
    transfers = StringField("Files at a time", default=str(USUAL.transfers))
    retries = StringField("Tries again after an error that may pass", default=str(USUAL.retries))

    #: A line for each of the options.
    HELP: ClassVar = {
        "bandwidth_limit": "10M is 10 MiB each second; 10 MB/s and 100 Mbit/s are taken too. Or a"
        " timetable in your time zone: 08:00,10M 19:00,off. Empty: no limit.",
        "include": "One pattern a line, such as *.jpg, photos/** or /top.txt. Empty: all files.",
        "exclude": "One pattern a line, such as *.tmp or cache/. Wins over the field above.",
        "min_age": "30min, 12h, 7d or 4w: leaves out what is still being written.",
        "max_size": "Leaves out larger files. 500M is 500 MiB, 500MB is 500 million bytes.",
        "checksum": "Reads every file on both sides instead of trusting its time and size. Slower.",
        "allow_empty_source": "Of a sync: a source without a single file then empties the"
        " destination, instead of being taken for a mistake.",
        "verify": "Compares both sides when all is copied, and fails if they differ.",
        "transfers": f"1 to {MOST_TRANSFERS}. More helps with many small files.",
        "retries": f"0 to {MOST_RETRIES}. Each waits twice as long as the one before, from 5 s.",
    }
    #: Fields of the folded part of the form.
    FOLDED = (*HELP, "dry_run")

    @property
    def unfolded(self) -> bool:
        """Whether something was typed, or is wrong, in the part that is folded at first."""
        return any(
            self[name].errors or (self[name].data or "") != (self[name].default or "")
            for name in self.FOLDED
        )

    def offer(self, pools: Mapping[str, bool]) -> None:
        """``pools``: whether a living worker serves each."""
        self.pool.choices = [
            SelectChoice("", "Those of no special pool"),
            *(
                SelectChoice(name, f"Pool {name}" if lives else f"Pool {name} – none at the moment")
                for name, lives in pools.items()
            ),
        ]

    def typed(self) -> Typed:
        return Typed(
            include=(self.include.data or "").splitlines(),
            exclude=(self.exclude.data or "").splitlines(),
            min_age=self.min_age.data or "",
            max_size=self.max_size.data or "",
            checksum=bool(self.checksum.data),
            verify=bool(self.verify.data),
            allow_empty_source=bool(self.allow_empty_source.data),
            transfers=self.transfers.data or "",
            retries=self.retries.data or "",
        )

    def transfer(
        self,
        roots: Sequence[Path],
        remotes: Mapping[str, int],
        timezone: str,
        pools: Collection[str] = (),
    ) -> Transfer:
        """What was asked for by somebody in this time zone, who may use these remotes; ``pools``
        are those that there are. Raises Invalid, and says each error beside its field."""
        with self.beside_fields():
            return validation.transfer(
                name=self.name.data or "",
                operation=self.operation.data or "",
                source=self.source.data or "",
                destination=self.destination.data or "",
                bandwidth_limit=self.bandwidth_limit.data or "",
                dry_run=bool(self.dry_run.data),
                roots=roots,
                remotes=remotes,
                typed=self.typed(),
                timezone=timezone,
                pool=self.pool.data or "",
                pools=pools,
            )

    def selection(
        self, roots: Sequence[Path], remotes: Mapping[str, int]
    ) -> tuple[Location, Options]:
        """Which files were asked for, whatever the rest of the form says. Raises as above."""
        with self.beside_fields():
            return validation.selection(
                self.source.data or "", self.typed(), roots=roots, remotes=remotes
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


class BandwidthForm(FlaskForm):
    """Of a job that runs or waits."""

    bandwidth_limit = StringField("Bandwidth limit", render_kw={"maxlength": BANDWIDTH_LENGTH})

    def limit(self) -> str | None:
        """Raises Invalid, and says the error beside the field."""
        try:
            return validation.bandwidth(self.bandwidth_limit.data or "")
        except Invalid as invalid:
            self.bandwidth_limit.errors = list(invalid.errors.values())
            raise


class ConfirmPlanForm(FlaskForm):
    confirm = StringField("", render_kw={"autocomplete": "off", "spellcheck": "false"})
