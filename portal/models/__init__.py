"""The nouns of the portal, one file each."""

from portal.models.activity import ActivityMinute, JobCount
from portal.models.audit import AuditEntry
from portal.models.bandwidth_budget import OF_PORTAL, BandwidthBudget
from portal.models.history import HistoryTotal, Span
from portal.models.identity import Identity
from portal.models.job import LARGEST_BIG_ID, Job, JobEvent, JobPlace
from portal.models.job_log import JobLog, JobLogChunk, JobSpeed
from portal.models.key_fingerprint import KeyFingerprint
from portal.models.remote import Remote
from portal.models.second_factor import RecoveryCode, SecondFactor
from portal.models.session import LoginSession
from portal.models.sign_in import KnownAddress, SignInLimit
from portal.models.token import ApiToken, IdempotencyKey, Scope
from portal.models.user import PasswordLink, Role, User, UserSettings
from portal.models.worker import WorkerProcess

__all__ = [
    "LARGEST_BIG_ID",
    "OF_PORTAL",
    "ActivityMinute",
    "ApiToken",
    "AuditEntry",
    "BandwidthBudget",
    "HistoryTotal",
    "IdempotencyKey",
    "Identity",
    "Job",
    "JobCount",
    "JobEvent",
    "JobLog",
    "JobLogChunk",
    "JobPlace",
    "JobSpeed",
    "KeyFingerprint",
    "KnownAddress",
    "LoginSession",
    "PasswordLink",
    "RecoveryCode",
    "Remote",
    "Role",
    "Scope",
    "SecondFactor",
    "SignInLimit",
    "Span",
    "User",
    "UserSettings",
    "WorkerProcess",
]
