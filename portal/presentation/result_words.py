"""Words for what a job has done, would do, or found to differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portal.presentation.formatting import count, files, size
from portal.transfers.counted import counted
from portal.transfers.options import from_json
from portal.transfers.states import JobStatus, Operation

if TYPE_CHECKING:
    from portal.models import Job

#: Verbs for the files of each operation: infinitive and participle.
_VERBS = {Operation.COPY: ("copy", "copied"), Operation.SYNC: ("copy", "copied"),
          Operation.MOVE: ("move", "moved")}  # fmt: skip
#: Kinds of ``engine.Differences``, in the order in which they are shown.
KINDS_OF_DIFFERENCE = {
    "different": "different",
    "only_source": "only at the source",
    "only_destination": "only at the destination",
}


def is_different(job: Job) -> bool:
    """Whether the job is a check that found differences, which is its answer and not a failure."""
    return job.status == JobStatus.COMPLETED and job.outcome == "different"


def differing(job: Job) -> int:
    """How many files a check, or the comparison after a copy, found to differ."""
    return sum(one["count"] for one in (job.differences or {}).values())


def answer(job: Job) -> str:
    """``2 files differ``; empty for a check that is not over."""
    if job.status != JobStatus.COMPLETED or job.outcome is None:
        return ""
    if number := differing(job):
        return counted(number, "file differs", "files differ")
    number = job.files_unchanged or job.files_transferred
    if not number:
        none = _none_words(job, "no files on either side")
        return none[0].upper() + none[1:]
    return counted(number, "file is the same", "files are the same")


def result_words(job: Job) -> str:
    """The result of a job that is over: ``Copied 2, deleted 17, unchanged 3`` or ``Nothing to copy:
    3 files are there already``; for a check ``1 different, 2 only at the source, 3 the same``."""
    if job.status != JobStatus.COMPLETED:
        return ""
    if job.operation == Operation.CHECK:
        return _kinds_of_difference(job) if is_different(job) else ""
    if job.dry_run:
        return _would_words(job)
    if words := nothing_words(job):
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
    return answer(job) or result_words(job)


def nothing_words(job: Job) -> str:
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


def _none_words(job: Job, otherwise: str) -> str:
    return "no file passed the filters" if from_json(job.options).filters else otherwise


def _would_words(job: Job) -> str:
    """``Would copy 2, delete 17, leave 3``, for a dry run whose plan is known."""
    plan = job.plan
    if plan is None:
        return ""
    if words := nothing_words(job):
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
    """Returns for deletions and copies a title, the first files and the count."""
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


def difference_lists(job: Job) -> list[tuple[str, int, list[str]]]:
    """Returns for each kind of difference a title, the number of files and the first names."""
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
