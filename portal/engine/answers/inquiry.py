"""The parameters of the rclones that only answer questions about one order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portal.engine.order.command import TransferOrder


@dataclass(frozen=True, slots=True)
class Inquiry:
    """``moment``: the time that filters by age count from. ``begun`` is called with the leader of
    each process group."""

    rclone: Path
    order: TransferOrder
    moment: float
    data_dir: Path | None = None
    begun: Callable[[int], None] | None = None
