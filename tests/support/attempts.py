"""Attempts to lose files: transfers as a worker runs them, and real servers that lead to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.engine import ConfirmedPlan, LogLine, Outcome, Remote, Run, TransferOrder, rclone_path
from portal.remotes.obscure import obscure
from portal.transfers.options import Options
from tests.support.storages import Storage


class Servers:
    """Real servers, and remotes that lead to them."""

    def __init__(self) -> None:
        self._running: list[Storage] = []

    def start(self, kind: str, folder: Path, *flags: str, **more: Any) -> Storage:
        storage = Storage(kind, folder, flags=flags, **more).start()
        self._running.append(storage)
        return storage

    def stop(self) -> None:
        for storage in self._running:
            storage.stop()

    @staticmethod
    def remote(name: str, storage: Storage, **changed: str) -> Remote:
        options = storage.options(**changed)
        if storage.kind != "s3":
            options["pass"] = obscure(options["pass"])
        return Remote(name, storage.kind, options)


@dataclass
class Attempts:
    """Runs orders to their end, as a worker does."""

    folder: Path
    rclone: Path = field(default_factory=lambda: rclone_path(None))
    log: list[LogLine] = field(default_factory=list)
    #: Leaders of all rclones.
    begun: list[int] = field(default_factory=list)

    def run(
        self,
        operation: str,
        source: Path | str,
        destination: Path | str,
        *remotes: Remote,
        options: Options | None = None,
        **more: Any,
    ) -> Outcome:
        order = TransferOrder(
            *(7, 1, operation, str(source), str(destination), more.pop("limit", None)),
            dry_run=more.pop("dry_run", False),
            remotes=remotes,
            options=options or Options(retries=0),
            confirmed=more.pop("confirmed", None),
        )
        run = Run(self.rclone, order, data_dir=self.folder, backoff=0.1, grace=2.0)
        try:
            for _ in run.readings(self.begun.append, tick=0.05):
                pass
        finally:
            run.close()
        self.log = run.take_log()[0]
        return run.outcome()

    def confirmed(
        self, operation: str, source: Path | str, destination: Path | str, *remotes: Remote
    ) -> Outcome:
        """Guarded: first the plan, then the job that keeps to it; the first that fails."""
        shown = self.run(operation, source, destination, *remotes, dry_run=True)
        if not shown.succeeded or shown.plan is None:
            return shown
        plan = shown.plan
        confirmed = ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment)
        return self.run(operation, source, destination, *remotes, confirmed=confirmed)
