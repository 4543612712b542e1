"""The nouns of the portal, one file each."""

from portal.models.activity import ActivityMinute, JobCount
from portal.models.audit import AuditEntry
from portal.models.job import Job, JobEvent
from portal.models.session import LoginSession
from portal.models.user import Role, User, UserSettings

__all__ = [
    "ActivityMinute",
    "AuditEntry",
    "Job",
    "JobCount",
    "JobEvent",
    "LoginSession",
    "Role",
    "User",
    "UserSettings",
]
