"""Figures for Prometheus, read from the database and the process at each request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from portal.realtime import publish
from portal.realtime.bus.messages import IgnoredMessages
from portal.realtime.fanout.request_head import RefusedHeads
from portal.realtime.fanout.send_buffer import DropCounts
from portal.runtime.context import current
from portal.runtime.version import __version__
from portal.services import workers
from portal.services.jobs import create, listing, statistics
from portal.services.refusals import NotedRefusals
from portal.services.runtime import runtime
from portal.web.rate_limits import LimitedRequests
from portal.web.sockets import handlers


@dataclass
class ProcessFigures:
    """``slot``: the number of this serving process."""

    slot: int = 0


class _Portal(Collector):
    def collect(self) -> Iterator[Metric]:
        by_status = GaugeMetricFamily("portal_jobs", "Jobs by status.", labels=["status"])
        for status, number in listing.counts().items():
            by_status.add_metric([status], number)
        yield by_status
        figures = statistics.gather("UTC")
        yield GaugeMetricFamily(
            "portal_transfer_speed_bytes", "Bytes a second, all running jobs.", figures.speed_now
        )
        yield GaugeMetricFamily(
            "portal_moved_today_bytes", "Bytes moved since midnight UTC.", figures.moved_today
        )
        yield GaugeMetricFamily(
            "portal_queue_oldest_seconds",
            "How long the oldest queued job has been waiting.",
            statistics.longest_wait(),
        )
        yield GaugeMetricFamily(
            "portal_jobs_to_retry",
            "Interrupted syncs and moves that nobody has retried or cancelled.",
            statistics.to_retry(),
        )
        yield GaugeMetricFamily(
            "portal_unreadable_lines",
            "Lines of rclone's log that could not be read, of all jobs.",
            create.unreadable_lines(),
        )
        if runtime().settings.scale_out:
            by_state = GaugeMetricFamily("portal_workers", "Workers by state.", labels=["state"])
            for state, number in workers.counts().items():
                by_state.add_metric([state], number)
            yield by_state
        yield from _of_this_process()
        version = GaugeMetricFamily("portal_info", "Version.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version


def _of_this_process() -> Iterator[Metric]:
    """Figures with a label that names the process: the next request to the same port may reach
    another one."""
    process = current()[ProcessFigures]
    slot = str(process.slot)
    open_now = GaugeMetricFamily(
        "portal_sockets", "Live connections of this process.", labels=["process"]
    )
    open_now.add_metric([slot], handlers.count())
    yield open_now
    for name, help_, numbers in (
        (
            "portal_sockets_dropped",
            "Live connections ended for what they cost.",
            current()[DropCounts],
        ),
        (
            "portal_requests_refused",
            "Requests refused for a defect of their head, before anything of them was kept.",
            current()[RefusedHeads],
        ),
        (
            "portal_refusals",
            "What was refused for a right, a token, a form, a password, a site or a host.",
            current()[NotedRefusals].counts,
        ),
        (
            "portal_requests_limited",
            "Requests refused because there were too many of their kind within a minute.",
            current()[LimitedRequests],
        ),
        (
            "portal_queue_messages_ignored",
            "Messages between processes that were not sent or were no use.",
            current()[IgnoredMessages],
        ),
    ):
        counter = CounterMetricFamily(name, help_, labels=["process", "reason"])
        for reason, number in numbers.items():
            counter.add_metric([slot, reason], number)
        yield counter
    delayed = GaugeMetricFamily(
        "portal_live_delayed",
        "1 while events of other processes do not arrive.",
        labels=["process"],
    )
    delayed.add_metric([slot], int(publish.delayed()))
    yield delayed


def registry() -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(_Portal())
    ProcessCollector(registry=made)
    return made
