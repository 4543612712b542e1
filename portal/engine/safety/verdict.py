"""What the examination of an order has found."""

from __future__ import annotations

from dataclasses import dataclass

from portal.engine.order.comparison import Comparison
from portal.engine.output.samples import NO_SAMPLES, Samples


@dataclass(frozen=True, slots=True)
class Verdict:
    """``refusal``: a sentence why it must not begin. ``nameless_errors``: rclone's
    messages about a storage that could not be asked, without names. ``look``: the number of a
    marker that a dry run has to look for in the depths of both ends."""

    comparison: Comparison
    refusal: str | None = None
    nameless_errors: tuple[str, ...] = ()
    folds_case: bool = False
    keeps_accents: bool = False
    look: str | None = None
    samples: Samples = NO_SAMPLES
    #: The comparison for the verification afterwards.
    verification: Comparison | None = None
    #: A copy that found nothing may have been given a path that does not exist.
    may_be_nothing: bool = False
    #: rclone's words as they may be shown.
    errors: tuple[str, ...] = ()
    #: The source is one file.
    single: bool = False
    #: Both ends may be on one machine, which no path can tell.
    one_machine: bool = False
