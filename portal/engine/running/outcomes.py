"""Outcomes of an attempt that went another way than asked, and their sentences."""

from __future__ import annotations

from dataclasses import replace

from portal.engine.answers.single_file import Shape
from portal.engine.output.plan import ConfirmedPlan, Plan
from portal.engine.output.report import Differences
from portal.engine.running.outcome import Outcome
from portal.transfers.counted import counted

#: How many files the sentence of a failed comparison names.
_NAMED = 3


def stopped() -> Outcome:
    return Outcome(False, True, None, "The transfer was stopped.", (), None)


def unknown_source(shape: Shape) -> Outcome:
    return Outcome(
        False,
        False,
        shape.exit_code,
        shape.problem,
        shape.errors,
        None,
        is_retryable=shape.is_retryable,
        retry_words="The storage does not say what the source is" if shape.is_retryable else "",
    )


def after_a_beginning(refused: Outcome) -> Outcome:
    """Rewords a refusal for a transfer that may already have done a part."""
    reason = (refused.reason or "").replace("Nothing was ", "Nothing more was ")
    return replace(refused, reason=reason)


def changed_plan(confirmed: ConfirmedPlan, plan: Plan | None) -> str:
    if plan is None:
        return "What it would delete could not be compared with what you confirmed."
    if plan.deletes == confirmed.deletes:
        other = "other files than the ones you confirmed"
    else:
        deletes = counted(plan.deletes, "file")
        other = f"{deletes} instead of the {confirmed.deletes:,} you confirmed"
    return f"It would now delete {other}. Nothing was changed. Preview again."


def copies_differ(differences: Differences) -> str:
    """``Everything was copied, but 2 files differ now: a.txt and b.txt. …``"""
    names = [name for kind in differences.names.values() for name in kind][:_NAMED]
    differing = counted(differences.total, "file")
    verb = "differs" if differences.total == 1 else "differ"
    text = ", ".join(f"“{name}”" for name in names)
    more = differences.total - len(names)
    others = f" and {more:,} more" if more else ""
    return (
        f"Everything was copied, but {differing} at the destination {verb} from the source: "
        f"{text}{others}. Find out what writes there, then retry."
    )
