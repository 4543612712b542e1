"""Every ``PORTAL_*`` variable."""

from portal.errors import SettingsError
from portal.settings.loading import SECRETS, load_settings, unknown_variables
from portal.settings.table import ROLE_NAMES, RoleName, Settings

__all__ = [
    "ROLE_NAMES",
    "SECRETS",
    "RoleName",
    "Settings",
    "SettingsError",
    "load_settings",
    "unknown_variables",
]
