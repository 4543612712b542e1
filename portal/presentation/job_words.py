"""Words for the state of a job: its ``display``, why it waits, its options, its events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from portal.db.clock import now
from portal.presentation.formatting import (
    UNKNOWN,
    count,
    duration,
    files,
    percent,
    size,
    size_of,
    speed,
    speed_of,
)
from portal.presentation.result_words import answer, is_different, nothing_words, result_words
from portal.transfers import bandwidth, compared, left_out
from portal.transfers.option_kinds import Size, format_size
from portal.transfers.options import OPTIONS, Option, Options, from_json
from portal.transfers.scheduling import Reason
from portal.transfers.states import (
    ACTIVE,
    STATES,
    JobStatus,
    Operation,
)

if TYPE_CHECKING:
    from portal.models import Job, JobEvent

_PHASES = {
    "scanning": "Scanning",
    "transferring": "Transferring",
    "checking": "Checking",
    "finishing": "Finishing",
}
_RUNNING_ETA = "{} left"


def display(job: Job) -> dict[str, str]:
    """The words about a job that page, poll, click and push all show."""
    state = STATES[JobStatus(job.status)]
    shown = {"status": state.label, "icon": state.icon, "tone": state.tone}
    if stands_still(job):
        shown = {"status": "Paused", "icon": "paused", "tone": "yellow"}
    if is_different(job):
        shown = {"status": "Different", "icon": "different", "tone": "yellow"}
    return {**shown, **progress_display(job)}


def stands_still(job: Job) -> bool:
    """Whether the job would run if nobody had paused it."""
    return job.status == JobStatus.RUNNING and job.paused_at is not None


def progress_display(job: Job) -> dict[str, str]:
    words = {
        "phase": _phase(job),
        "percent": _percent(job),
        "bytes": _bytes(job),
        "speed": speed(job.speed_bytes),
        "allowed": _allowed(job),
        "eta": _eta(job),
        "files": _files(job),
        "result": result_words(job),
        "trouble": trouble_words(job),
    }
    return {**words, "valuetext": ", ".join(_value_text(words))}


def _allowed(job: Job) -> str:
    """How much of its share of the bandwidth budgets a job uses; empty without a budget."""
    most = allowed_now(job) if job.allowed_bytes is not None else None
    if most == 0:
        return "Waits for bandwidth that other jobs use"
    # Most checks move nothing.
    if most is None or (job.operation == Operation.CHECK and not job.speed_bytes):
        return ""
    # The speed is an average of the last seconds: it falls a little after the share.
    shown = min(job.speed_bytes, most) if job.speed_bytes < 1.1 * most else job.speed_bytes
    return f"{speed_of(shown, most)} allowed now"


def allowed_now(job: Job) -> int | None:
    """The most bytes a second that a running job may move now, by its own limit and by bandwidth
    budgets; None for no limit."""
    if job.status != JobStatus.RUNNING or stands_still(job):
        return None
    own = bandwidth.bytes_at(job.bandwidth_limit, from_json(job.options).timezone, now())
    limits = [limit for limit in (own, job.allowed_bytes) if limit is not None]
    return min(limits, default=None)


def trouble_words(job: Job) -> str:
    """``Nothing arrives from nas; trying again``, or ``… try 2 of 4 begins in 20 s``."""
    if job.status != JobStatus.RUNNING or stands_still(job) or not job.trouble:
        return ""
    if job.next_try_at is None:
        return job.trouble
    left = math.ceil((job.next_try_at - now()).total_seconds())
    return f"{job.trouble} begins in {duration(max(1, left))}"


def _value_text(words: dict[str, str]) -> list[str]:
    parts = [words[name] for name in ("percent", "bytes") if words[name] not in ("", UNKNOWN)]
    if parts and not words["bytes"] and words["result"]:
        parts.append(words["result"])
    return parts or ["not known yet"]


def _phase(job: Job) -> str:
    if job.status != JobStatus.RUNNING or stands_still(job):
        return ""
    if job.slot_released_at is not None:
        return "Waits for a slot"
    return _PHASES.get(job.phase or "", "Starting")


def _percent(job: Job) -> str:
    # Of what has ended before anything was known, there is nothing to wait for.
    return "" if job.percent is None and _ended_early(job) else percent(job.percent)


def _ended_early(job: Job) -> bool:
    return job.status in (JobStatus.FAILED, JobStatus.CANCELLED)


def _bytes(job: Job) -> str:
    if job.status in ACTIVE and job.total_bytes is None:
        found = f"{files(job.files_listed)} found"
        return f"Scanning… {found}" if job.files_listed else "Scanning…"
    if job.operation == Operation.CHECK:
        # A check compares, and its percent counts files. When it is over, its answer is shown.
        return answer(job) or UNKNOWN
    if nothing_words(job):
        return ""  # the result says more than 0 of 0 B
    if job.dry_run:
        return UNKNOWN if job.total_bytes is None else f"{size(job.total_bytes)} {_would(job)}"
    if job.total_bytes is None:
        if _ended_early(job) and not job.bytes_transferred and not job.files_transferred:
            return "Nothing was transferred"
        return UNKNOWN if not job.bytes_transferred else size(job.bytes_transferred)
    return size_of(job.bytes_transferred, job.total_bytes)


def _eta(job: Job) -> str:
    # A transfer that still runs with nothing left to move does not end in 0 s.
    if job.status != JobStatus.RUNNING or not job.eta_seconds:
        return UNKNOWN
    return _RUNNING_ETA.format(duration(job.eta_seconds))


def _files(job: Job) -> str:
    if not job.files_total:
        return "" if nothing_words(job) else UNKNOWN
    if job.dry_run and job.operation != Operation.CHECK:
        return f"{files(job.files_total)} {_would(job)}"
    return f"{count(job.files_transferred)} of {count(job.files_total)} files"


def _would(job: Job) -> str:
    """The wording for a dry run. Only a move says "would be moved": on a copy that would suggest
    that files disappear."""
    return "would be moved" if job.operation == Operation.MOVE else "would be copied"


def options_words(job: Job) -> list[tuple[str, str]]:
    """The bandwidth limit, and the options that differ from their defaults, as pairs of a name and
    words."""
    chosen = from_json(job.options)
    limit = bandwidth.words(job.bandwidth_limit)
    if "," in (job.bandwidth_limit or ""):
        limit = f"{limit} ({chosen.timezone})"
    filters = [_option_words(option, chosen) for option in OPTIONS if option.is_filter]
    others = [_option_words(option, chosen) for option in OPTIONS if not option.is_filter]
    compared_by = ("Compared by", _compared_words(job, chosen))
    words = [("Bandwidth limit", limit), *filters, compared_by, *others]
    return [(name, value) for name, value in words if name and value]


def _option_words(option: Option, chosen: Options) -> tuple[str, str]:
    name = option.label if option.shown is None else option.shown
    value = getattr(chosen, option.name)
    if value == option.default:
        return name, ""
    return name, _limit_of_size(value) if isinstance(option.kind, Size) else option.kind.text(value)


def _compared_words(job: Job, chosen: Options) -> str:
    """How files are compared. Until rclone has told that, the method that was asked for."""
    asked = "checksum" if chosen.checksum else ""
    return compared.compared_words(job.compared_by, asked, job.left_out_names)


def _limit_of_size(number: int | None) -> str:
    """The limit in the unit that was typed: ``500 MB`` is no round number of MiB."""
    text = format_size(number)
    if text.endswith("B") and text[-2:-1].isalpha():
        return f"{text[:-2]} {'k' if text[-2] == 'K' else text[-2]}B"
    return size(number) if number else ""


def place_words(job: Job, place: int | None) -> str:
    """``next in the queue``, ``3rd, high priority``; for an unknown position, far behind."""
    if job.paused_at is not None:
        return ""
    where = {1: ", high priority", -1: ", low priority"}.get(job.priority, " in the queue")
    return f"{_ordinal(place)}{where}"


def _ordinal(place: int | None) -> str:
    if place is None:
        return "far back"
    if place == 1:
        return "next"
    last = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{count(place)}{'th' if place % 100 in (11, 12, 13) else last}"


_DOES = {
    "both_write": "writes to the same folder",
    "changes_source": "changes this job's source",
    "still_reads": "still reads what this job may replace or delete",
}
_BUT = {"paused": " but is paused", "no_worker": " but has no worker"}


class Wait(Protocol):
    """Why a job waits, see ``queue_position.Queued``."""

    @property
    def reason(self) -> Reason: ...
    @property
    def job_id(self) -> int | None: ...
    @property
    def clash(self) -> str | None: ...
    @property
    def held_up(self) -> str | None: ...
    @property
    def remote(self) -> str: ...
    @property
    def limit(self) -> int: ...


def waits_words(job: Job, wait: Wait) -> tuple[str, str, str]:
    """Why a queued job waits: the words, the job that they link to, and the words after the
    link."""
    if wait.reason is Reason.DESTINATION:
        does, but = _DOES[wait.clash or "both_write"], _BUT.get(wait.held_up or "", "")
        return "Waits for ", f"job {wait.job_id}", f", which {does}{but}."
    in_pool = f" in pool {job.pool}" if job.pool else ""
    owner = job.owner.username
    words = {
        Reason.PAUSED: "waits to be resumed",
        Reason.NO_WORKER: f"no worker{in_pool} is taking jobs",
        Reason.USER_LIMIT: f"waits: {owner} has {wait.limit:,} running"
        if wait.limit
        else f"waits: {owner} may no longer run jobs",
        Reason.REMOTE_LIMIT: f"waits: {wait.remote} allows {wait.limit:,} at a time",
        Reason.SLOT: f"waits for a free slot{in_pool}",
    }
    return words[wait.reason], "", ""


def run_time(job: Job) -> float | None:
    """Seconds from the start to the end, or until now."""
    if job.started_at is None or job.finished_at is not None:
        return job.seconds
    return (now() - job.started_at).total_seconds()


def moved_words(job: Job) -> str:
    """How much a finished job has moved. Checks and dry runs move nothing."""
    moves = job.started_at is not None and not job.dry_run and job.operation != Operation.CHECK
    return size(job.bytes_transferred) if moves else UNKNOWN


def left_out_words(job: Job) -> str:
    """How many entries were left out because they are not files: ``4 links, 2 special files``;
    empty if there were none."""
    return left_out.left_out_words(job.links_left_out, job.specials_left_out, job.left_out_names)


def remaining_words(job: Job) -> str:
    return left_out.remaining_words(job.left_out_names)


def age(job: Job) -> str:
    """Seconds since the figures were reported; empty if none are expected."""
    if job.status not in ACTIVE:
        return ""
    since = job.progress_at or job.started_at or job.queued_at
    return f"{max(0.0, (now() - since).total_seconds()):.1f}"


def event_words(event: JobEvent) -> str:
    """An event in words that follow the job's name: ``completed – 41.2 GiB in 12 min``."""
    job, status = event.job, JobStatus(event.new_status)
    by = f" by {event.actor}" if event.actor else ""
    if status == JobStatus.COMPLETED:
        if job.dry_run and not (job.operation == Operation.CHECK or nothing_words(job)):
            return f"dry run completed in {duration(run_time(job))}"
        return f"completed – {_achievement(job)} in {duration(run_time(job))}"
    if status == JobStatus.QUEUED and event.old_status is None:
        return f"was created{by}"
    if status == JobStatus.FAILED and event.note:
        return f"failed – {event.note}"
    return {
        JobStatus.QUEUED: "back in the queue",
        JobStatus.RUNNING: "started",
        JobStatus.CANCELLING: f"is being cancelled{by}",
        JobStatus.INTERRUPTED: "was interrupted",
        JobStatus.FAILED: "failed",
        JobStatus.CANCELLED: f"was cancelled{by}",
    }[status]


def _achievement(job: Job) -> str:
    if job.operation == Operation.CHECK:
        compared = f"{files(job.files_transferred)} compared"
        return answer(job) if is_different(job) else compared
    if words := nothing_words(job):
        return words[0].lower() + words[1:] + ","
    return size(job.bytes_transferred)


def summary(running: int, queued: int, failed_today: int) -> str:
    """The dashboard in one line: ``3 running, 12 queued, 1 failed today``."""
    parts = [f"{count(running)} running"] if running else []
    if queued:
        parts.append(f"{count(queued)} queued")
    if not parts:
        parts.append("No job is running")
    if failed_today:
        parts.append(f"{count(failed_today)} failed today")
    return ", ".join(parts)
