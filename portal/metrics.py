"""Figures for Prometheus, read from the database and the process when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from flask import current_app
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from portal import __version__, sockets
from portal.services import jobs, statistics


class _Portal(Collector):
    def collect(self) -> Iterator[Metric]:
        by_status = GaugeMetricFamily("portal_jobs", "Jobs by status.", labels=["status"])
        for status, number in jobs.counts().items():
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
            "portal_sockets", "Live connections of this process.", sockets.count()
        )
        dropped = CounterMetricFamily(
            "portal_sockets_dropped",
            "Live connections ended for what they cost.",
            labels=["reason"],
        )
        for reason, number in current_app.extensions.get("dropped", {}).items():
            dropped.add_metric([reason], number)
        yield dropped
        ignored = CounterMetricFamily(
            "portal_queue_messages_ignored",
            "Messages between processes that were not sent or were no use.",
            labels=["reason"],
        )
        for reason, number in current_app.extensions["ignored"].items():
            ignored.add_metric([reason], number)
        yield ignored
        yield GaugeMetricFamily(
            "portal_live_delayed",
            "1 while events of other processes do not arrive.",
            int(current_app.extensions["delayed"]()),
        )
        version = GaugeMetricFamily("portal_info", "Version.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version


def registry() -> CollectorRegistry:
    made = CollectorRegistry(auto_describe=False)
    made.register(_Portal())
    ProcessCollector(registry=made)
    return made
