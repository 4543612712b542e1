from __future__ import annotations

from pydantic import Field

from portal.models import JobEvent, Role
from portal.services.jobs import listing
from portal.transfers.states import JobStatus
from portal.web.access import job_or_404
from portal.web.routes.api.operations import Answer, operation
from portal.web.routes.api.paging import (
    LINKS,
    Paged,
    Pages,
    answer_page,
    pages_of,
)
from portal.web.routes.api.shapes import Query, ResponseBody, Timestamp


class Event(ResponseBody):
    """One change of a job's status."""

    id: int
    job_id: int
    seq: int = Field(description="`seq` of the job at that moment.")
    old_status: JobStatus | None = Field(description="Null when the job was created.")
    new_status: JobStatus
    actor: str = Field(description="Name of the user who caused it; empty if nobody did.")
    note: str
    timestamp: Timestamp


class EventList(ResponseBody):
    items: list[Event]


class EventPage(Paged):
    items: list[Event]


class EventsQuery(Query):
    limit: int = Field(10, ge=1, le=100, description="Maximum number of events.")


@operation(
    "GET",
    "/events",
    right=Role.VIEWER,
    query=EventsQuery,
    shape=EventList,
    answers={200: "The latest events of all jobs, newest first."},
)
def list_events(query: EventsQuery) -> EventList:
    """List the latest events"""
    return EventList(items=[_to_shape(event) for event in listing.latest_events(query.limit)])


@operation(
    "GET",
    "/jobs/<big_id:job_id>/events",
    right=Role.VIEWER,
    query=Pages,
    shape=EventPage,
    answers={200: "Events of one page, oldest first. A page after the last is empty."},
    answer_headers=LINKS,
)
def list_job_events(job_id: int, query: Pages) -> Answer:
    """List the events of one job"""
    events, total = listing.events_page(job_or_404(job_id).id, query.page, query.per_page)
    pages = pages_of(total, query.per_page)
    return answer_page(
        EventPage, [_to_shape(event) for event in events], query, pages=pages, total=total
    )


def _to_shape(event: JobEvent) -> Event:
    return Event(
        id=event.id,
        job_id=event.job_id,
        seq=event.seq,
        old_status=event.old_status,
        new_status=event.new_status,
        actor=event.actor,
        note=event.note,
        timestamp=event.at,
    )
