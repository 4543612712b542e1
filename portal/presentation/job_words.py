"""The one place that turns figures into words: filters for templates, and a job's ``display``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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
)
from portal.transfers import bandwidth, compared, left_out
from portal.transfers.option_kinds import Size, format_size
from portal.transfers.options import OPTIONS, Option, Options, from_json
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


# --- filters ------------------------------------------------------------------------------------


# --- a job --------------------------------------------------------------------------------------


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
        "percent": percent(job.percent),
        "bytes": _bytes(job),
        "speed": speed(job.speed_bytes),
        "eta": _eta(job),
        "files": _files(job),
        "result": result_words(job),
        "trouble": trouble_words(job),
    }
    return {**words, "valuetext": ", ".join(_spoken(words))}


def trouble_words(job: Job) -> str:
    """``Nothing arrives from nas; trying again``, or ``… try 2 of 4 begins in 20 s``."""
    if job.status != JobStatus.RUNNING or stands_still(job) or not job.trouble:
        return ""
    if job.next_try_at is None:
        return job.trouble
    left = math.ceil((job.next_try_at - now()).total_seconds())
    return f"{job.trouble} begins in {duration(max(1, left))}"


def _spoken(words: dict[str, str]) -> list[str]:
    parts = [words[name] for name in ("percent", "bytes") if words[name] not in ("", UNKNOWN)]
    if parts and not words["bytes"] and words["result"]:
        parts.append(words["result"])
    return parts or ["not known yet"]


def _phase(job: Job) -> str:
    if job.status != JobStatus.RUNNING or stands_still(job):
        return ""
    return _PHASES.get(job.phase or "", "Starting")


def _bytes(job: Job) -> str:
    if job.status in ACTIVE and job.total_bytes is None:
        found = f"{files(job.files_listed)} found"
        return f"Scanning… {found}" if job.files_listed else "Scanning…"
    if job.operation == Operation.CHECK:
        # A check compares, and its percent counts files. When it is over, its answer is shown.
        return _answer(job) or UNKNOWN
    if _nothing_words(job):
        return ""  # the result says more than 0 of 0 B
    if job.dry_run:
        return UNKNOWN if job.total_bytes is None else f"{size(job.total_bytes)} {_would(job)}"
    if job.total_bytes is None:
        return UNKNOWN if not job.bytes_transferred else size(job.bytes_transferred)
    return size_of(job.bytes_transferred, job.total_bytes)


def _eta(job: Job) -> str:
    # A transfer that still runs with nothing left to move does not end in 0 s.
    if job.status != JobStatus.RUNNING or not job.eta_seconds:
        return UNKNOWN
    return _RUNNING_ETA.format(duration(job.eta_seconds))


def _files(job: Job) -> str:
    if not job.files_total:
        return "" if _nothing_words(job) else UNKNOWN
    if job.dry_run and job.operation != Operation.CHECK:
        return f"{files(job.files_total)} {_would(job)}"
    return f"{count(job.files_transferred)} of {count(job.files_total)} files"


def _would(job: Job) -> str:
    """The wording for a dry run. Only a move says "would be moved": on a copy that would suggest
    that files disappear."""
    return "would be moved" if job.operation == Operation.MOVE else "would be copied"


def is_different(job: Job) -> bool:
    """Whether the job is a check that found differences, which is its answer and not a failure."""
    return job.status == JobStatus.COMPLETED and job.outcome == "different"


def differing(job: Job) -> int:
    """How many files a check, or the comparison after a copy, found to differ."""
    return sum(one["count"] for one in (job.differences or {}).values())


def _answer(job: Job) -> str:
    """``2 files differ``; empty for a check that is not over."""
    if job.status != JobStatus.COMPLETED or job.outcome is None:
        return ""
    if number := differing(job):
        return f"{files(number)} {'differs' if number == 1 else 'differ'}"
    number = job.files_unchanged or job.files_transferred
    if not number:
        none = _none_words(job, "no files on either side")
        return none[0].upper() + none[1:]
    return "1 file is the same" if number == 1 else f"{files(number)} are the same"


def _none_words(job: Job, otherwise: str) -> str:
    return "no file passed the filters" if from_json(job.options).filters else otherwise


#: Verbs for the files of each operation: infinitive and participle.
_VERBS = {Operation.COPY: ("copy", "copied"), Operation.SYNC: ("copy", "copied"),
          Operation.MOVE: ("move", "moved")}  # fmt: skip


def _nothing_words(job: Job) -> str:
    """``Nothing to copy: 3 files are there already``, for a transfer that had nothing to do."""
    over = job.status == JobStatus.COMPLETED and job.operation in _VERBS
    if not over or job.files_total or job.bytes_transferred or job.files_deleted:
        return ""
    plan = job.plan or {}
    if job.dry_run and (plan.get("copies") or plan.get("deletes")):
        return ""
    verb = _VERBS[Operation(job.operation)][0]
    if job.operation == Operation.SYNC:
        verb = "copy or delete"
    number = job.files_unchanged
    if not number:
        return f"Nothing to {verb}: {_none_words(job, 'no files were found')}"
    there = "is there already" if number == 1 else "are there already"
    return f"Nothing to {verb}: {files(number)} {there}"


def result_words(job: Job) -> str:
    """The result of a job that is over: ``Copied 2, deleted 17, unchanged 3`` or ``Nothing to copy:
    3 files are there already``; for a check ``1 different, 2 only at the source, 3 the same``."""
    if job.status != JobStatus.COMPLETED:
        return ""
    if job.operation == Operation.CHECK:
        return _kinds_of_difference(job) if is_different(job) else ""
    if job.dry_run:
        return _would_words(job)
    if words := _nothing_words(job):
        return words
    parts = [f"{_VERBS[Operation(job.operation)][1]} {count(job.files_transferred)}"]
    if job.operation == Operation.SYNC:
        parts.append(f"deleted {count(job.files_deleted)}")
    if job.files_unchanged or job.operation == Operation.SYNC:
        parts.append(f"unchanged {count(job.files_unchanged)}")
    words = ", ".join(parts)
    return words[0].upper() + words[1:] if len(parts) > 1 else ""


def result_line(job: Job) -> str:
    """The result in a list of jobs that are over; empty if the figures already say it."""
    return _answer(job) or result_words(job)


#: Kinds of ``engine.Differences``, in the order in which they are shown.
KINDS_OF_DIFFERENCE = {
    "different": "different",
    "only_source": "only at the source",
    "only_destination": "only at the destination",
}


def difference_lists(job: Job) -> list[tuple[str, int, list[str]]]:
    """For each kind of difference: a title, the number of files, and the first names."""
    named = job.difference_names or {}
    return [
        (words[0].upper() + words[1:], one["count"], named.get(kind, one["names"]))
        for kind, words in KINDS_OF_DIFFERENCE.items()
        if (one := (job.differences or {}).get(kind)) and one["count"]
    ]


def _kinds_of_difference(job: Job) -> str:
    counted = {kind: (job.differences or {}).get(kind, {}) for kind in KINDS_OF_DIFFERENCE}
    parts = [
        f"{count(counted[kind]['count'])} {words}"
        for kind, words in KINDS_OF_DIFFERENCE.items()
        if counted[kind].get("count")
    ]
    return ", ".join([*parts, f"{count(job.files_unchanged)} the same"])


def _would_words(job: Job) -> str:
    """``Would copy 2, delete 17, leave 3``, for a dry run whose plan is known."""
    plan = job.plan
    if plan is None:
        return ""
    if words := _nothing_words(job):
        return words
    parts = [f"{_VERBS[Operation(job.operation)][0]} {count(plan['copies'])}"]
    # A move deletes each file that it moves. If it deletes any other file, that one is at the
    # destination already.
    if job.operation == Operation.SYNC:
        parts.append(f"delete {count(plan['deletes'])}")
    if "unchanged" in plan:
        parts.append(f"leave {count(plan['unchanged'])}")
    return f"Would {', '.join(parts)}"


def plan_words(job: Job) -> str:
    """``Copies 1,203 files, 4.1 GiB; deletes 17 files, 12.0 MiB.``"""
    plan = {"copies": 0, "copy_bytes": 0, "deletes": 0, "delete_bytes": 0} | (job.plan or {})
    if not plan["copies"] and not plan["deletes"]:
        # Of files: a sync may still remove empty folders.
        return "No files to copy or delete: they are the same on both sides."
    copied = f"{files(plan['copies'])}, {size(plan['copy_bytes'])}" if plan["copies"] else "nothing"
    deleted = (
        f"{files(plan['deletes'])}, {size(plan['delete_bytes'])}" if plan["deletes"] else "nothing"
    )
    if job.operation == Operation.MOVE:
        if not plan["copies"]:
            return (
                f"Copies nothing; deletes {deleted} at the source. All of them are at the "
                "destination already: make sure that these are two places before you continue."
            )
        return f"Copies {copied}; deletes {deleted} at the source."
    left = f"; leaves {files(plan['unchanged'])} as they are" if plan.get("unchanged") else ""
    return f"Copies {copied}; deletes {deleted}{left}."


def plan_lists(job: Job) -> list[tuple[str, list[dict[str, Any]], int]]:
    """For deletions and copies, if there are any: a title, the first files, and how many in all."""
    plan = job.plan or {}
    moves = job.operation == Operation.MOVE
    lists = [
        ("Deletes at the source" if moves else "Deletes", "first_deletes", "deletes"),
        ("Copies", "first_copies", "copies"),
    ]
    return [
        (title, plan.get(first, []), plan.get(number, 0))
        for title, first, number in lists
        if plan.get(number)
    ]


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


def place_words(place: int | None) -> str:
    """``next in the queue``, ``3rd in the queue``; for an unknown position, far behind."""
    if place is None:
        return "far back in the queue"
    if place == 1:
        return "next in the queue"
    last = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{count(place)}{'th' if place % 100 in (11, 12, 13) else last} in the queue"


def waits_words(
    job: Job, reason: str, other: int | None = None, *, paused: bool = False
) -> tuple[str, str, str]:
    """Why a queued job waits: the words, the job that they link to, and the words after the link.
    ``other`` writes to the same place; ``paused``: that job is paused."""
    match reason:
        case "paused":
            return "waits to be resumed", "", ""
        case "no_worker":
            words = f"no worker in pool {job.pool} is taking jobs" if job.pool else ""
            return words or "no worker is taking jobs", "", ""
        case "destination":
            which = "is paused and writes" if paused else "writes"
            return "Waits for ", f"job {other}", f", which {which} to the same folder."
    words = f"waits for a free slot in pool {job.pool}" if job.pool else "waits for a free slot"
    return words, "", ""


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
        if job.dry_run and not (job.operation == Operation.CHECK or _nothing_words(job)):
            return f"dry run completed in {duration(run_time(job))}"
        if job.dry_run and not (job.operation == Operation.CHECK or _nothing_words(job)):
            return f"dry run completed in {duration(run_time(job))}"
        if job.dry_run and not (job.operation == Operation.CHECK or _nothing_words(job)):
            return f"dry run completed in {duration(run_time(job))}"
        if job.dry_run and not (job.operation == Operation.CHECK or _nothing_words(job)):
            return f"dry run completed in {duration(run_time(job))}"
        return f"completed – {_achieved(job)} in {duration(run_time(job))}"
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


def _achieved(job: Job) -> str:
    if job.operation == Operation.CHECK:
        compared = f"{files(job.files_transferred)} compared"
        return _answer(job) if is_different(job) else compared
    if words := _nothing_words(job):
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
