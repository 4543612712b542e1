"""Keeps the jobs of this process within their shares of the bandwidth budgets."""

from __future__ import annotations

from collections.abc import Mapping

from portal.db.clock import elapsed, now
from portal.engine import Flow
from portal.services.jobs import bandwidth_sharing
from portal.services.jobs.bandwidth_sharing import OwnJob
from portal.services.jobs.claims import Claim, JobDirectives
from portal.transfers import bandwidth
from portal.worker.bandwidth_demand import DemandMeter

#: Seconds between two looks at the shares, while none of them is about to change.
_INTERVAL = 1.0
#: What a job is allowed that has no share yet: it must wait, or it would begin at full speed.
NOTHING_YET = 0


class JobBandwidth:
    """What one job may move. Its own thread says what its rclone does; the thread that shares the
    budgets says what is allowed."""

    def __init__(self, timezone: str) -> None:
        """``timezone``: of the timetable of its own limit."""
        #: Bytes a second; None for no limit. It begins with nothing, until the budgets are known.
        self.allowed: int | None = NOTHING_YET
        #: What its rclone may move now, and what it has moved.
        self.flow = Flow(0)
        self.meter = DemandMeter()
        self._timezone = timezone

    def begin(self, *, budgeted: bool) -> None:
        """Without any budget it need not wait for a share."""
        if not budgeted:
            self.allowed = None

    def usage(self, directives: JobDirectives) -> OwnJob:
        """Measures what it can use."""
        flow, allowed = self.flow, self.allowed
        self.meter.note(elapsed(), (flow.seconds, flow.moved), flow.most)
        if directives.paused:
            return OwnJob(0, allowed, flow.most)
        own = bandwidth.bytes_at(directives.bandwidth_limit, self._timezone, now())
        wanted = [number for number in (own, self.meter.wanted) if number is not None]
        return OwnJob(min(wanted, default=None), allowed, flow.most)


class BandwidthSharing:
    """Called by the thread that reports the progress of all jobs of this process."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        #: Shares are about to change: rclone has not taken less yet, or others have not.
        self._is_urgent = False
        #: What each job wanted at the last look.
        self._wanted: dict[Claim, int | None] = {}

    def share(self, jobs: Mapping[Claim, tuple[JobBandwidth, JobDirectives]]) -> None:
        """Looks at the shares once a second, and at once when a job of this process comes, goes or
        wants another amount. Without any budget it asks the database nothing."""
        budgeted = any(directives.budgeted for _, directives in jobs.values())
        if not budgeted:
            self._release(jobs)
            return
        moment = elapsed()
        own = {claim: job.usage(directives) for claim, (job, directives) in jobs.items()}
        wanted = {claim: one.wanted for claim, one in own.items()}
        is_due = moment - self._looked_at >= _INTERVAL or wanted != self._wanted
        if not (is_due or self._is_urgent):
            return
        self._looked_at, self._wanted = moment, wanted
        sharing = bandwidth_sharing.read_sharing()
        grants = bandwidth_sharing.plan(sharing, own)
        for claim, grant in grants.items():
            self._allow(jobs[claim][0], grant.allowed, only_less=True)
        news = [
            claim
            for claim, grant in grants.items()
            if bandwidth_sharing.is_news(sharing.jobs[claim], own[claim], grant)
        ]
        if news:
            grants = bandwidth_sharing.settle(own)
        for claim, grant in grants.items():
            self._allow(jobs[claim][0], grant.allowed)
        self._is_urgent = not all(grant.is_settled for grant in grants.values())

    def _release(self, jobs: Mapping[Claim, tuple[JobBandwidth, JobDirectives]]) -> None:
        limited = [claim for claim, (job, _) in jobs.items() if job.allowed is not None]
        if limited and self._wanted:
            bandwidth_sharing.release(limited)
        for claim in limited:
            jobs[claim][0].allowed = None
        self._wanted = {}

    @staticmethod
    def _allow(job: JobBandwidth, allowed: int | None, *, only_less: bool = False) -> None:
        if only_less and (allowed is None or (job.allowed is not None and allowed > job.allowed)):
            return
        job.allowed = allowed
