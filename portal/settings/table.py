"""Every ``PORTAL_*`` variable: its default, its help, and what is no value for it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from portal.errors import SettingsError
from portal.runtime import addresses, secret_files
from portal.settings import folders

#: A name or an address, with a port or without; a leading dot means every subdomain too.
_HOST = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


RoleName = Literal["viewer", "operator", "admin"]
ROLE_NAMES = get_args(RoleName)


def _requests(number: int, what: str) -> int:
    """A limit: so many requests of one kind a minute."""
    limit: int = Field(number, ge=0, le=10_000_000, description=f"{what}, a minute. 0: no limit.")
    return limit


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PORTAL_", env_ignore_empty=True, frozen=True)

    data_dir: Path = Field(
        Path("instance"), description="Folder of the database, the secret key and the lock file."
    )
    database_url: str = Field(
        "",
        repr=False,
        description="SQLAlchemy address of the database. Default: SQLite in the data folder.",
    )
    redis_url: str = Field(
        "",
        repr=False,
        description="Address of Redis, such as `redis://:password@localhost:6379/0`, for the "
        "scale-out mode: several web processes, and workers on any number of machines. It needs "
        "PostgreSQL. Default: everything runs in one process.",
    )
    secret_key: str = Field(
        "",
        repr=False,
        description="Key that signs cookies, at least 32 characters. Default: generated once "
        "into the data folder, readable by its owner alone.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    transfer_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Colon-separated folders that local paths must lie in. "
        "Default: `files` in the data folder.",
    )
    max_running_jobs: int = Field(
        4,
        ge=1,
        le=256,
        description="Transfers that run at the same time, in each worker; the others wait.",
    )
    max_running_jobs_per_user: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Jobs of one user that run at the same time, over all workers. 0: no limit; "
        "free slots are shared fairly in any case.",
    )
    max_open_jobs_per_user: int = Field(
        500,
        ge=1,
        le=1_000_000,
        description="Jobs of one user that are queued or running at the same time; beyond it the "
        "portal accepts no more from that user.",
    )
    paused_keeps_slot_seconds: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="Time for which a paused job keeps its slot. After it another job may run; the "
        "paused one gets the next free slot when it is resumed.",
    )
    rclone: Path | None = Field(
        None, description="Path of the rclone binary. Default: the one that comes with the portal."
    )
    storage_patience_seconds: float = Field(
        120.0,
        ge=3,
        le=86_400,
        description="Seconds without a byte from a storage after which an attempt is given up. "
        "The page reports it after a third of that, at most 15 s.",
    )
    remotes_allow_local: bool = Field(
        False,
        description="Let remotes lead to this machine, to link-local addresses and to metadata "
        "services of clouds.",
    )
    remotes_refuse: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated networks that no remote may lead to, such as "
        "`10.1.0.0/16,fd12::/16`, also if local ones are allowed.",
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="Reverse proxies in front whose forwarding headers are believed.",
    )
    base_url: str = Field(
        "",
        description="How people reach the portal, such as `https://example.org/portal`. Its path "
        "stands before every link and in the cookie; with https, cookies go over HTTPS only. "
        "Default: what the browser asked for.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names that the portal is reached by, such as "
        "`portal.example.org`; any other is refused. Default: any; on loopback without trusted "
        "proxies the names of this machine and that of `PORTAL_BASE_URL`.",
    )
    sockets_per_user: int = Field(
        50, ge=1, le=100_000, description="Live connections one user may hold open."
    )
    rate_limit_pages: int = _requests(12000, "Requests for pages, of one user")
    rate_limit_refreshes: int = _requests(
        12000, "Refreshes of parts of a page that is open, of one session"
    )
    rate_limit_api: int = _requests(12000, "Reading requests to the API, of one token or user")
    rate_limit_changes: int = _requests(
        12000, "Requests that change something, of one token or user"
    )
    rate_limit_storages: int = _requests(
        600, "Questions to storages (browsing, previews, tests), of one token or user"
    )
    rate_limit_exports: int = _requests(30, "Exports and downloads of logs, of one user")
    rate_limit_strangers: int = _requests(
        6000, "Requests without a sign-in or with a wrong token, of one address"
    )
    session_idle_hours: float = Field(
        8.0,
        gt=0,
        le=8760,
        description="Hours without a visit after which a person is signed out. Polls and live "
        "connections are no visits; sessions that are remembered do not end by it.",
    )
    session_hours: float = Field(
        24.0, gt=0, le=8760, description="Hours after a sign-in at which its session ends anyway."
    )
    session_remembered_days: float = Field(
        14.0, gt=0, le=365, description="The same in days where the person chose to be remembered."
    )
    session_viewers_idle: bool = Field(
        False,
        description="Let viewers be idle until their session ends anyway, for displays on a wall.",
    )
    previous_secret_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Comma-separated previous secret keys. They still decrypt stored secrets: "
        "those of remotes and second factors.",
    )
    secure_cookies: bool = Field(
        False, description="Send cookies over HTTPS only. Set it behind TLS."
    )
    admin_password: str = Field(
        "",
        repr=False,
        description="Password of `admin`, used at the first start only. Default: a random one, "
        "printed once.",
    )
    log_format: Literal["text", "json"] = Field("text", description="Form of log lines.")
    metrics_token: str = Field(
        "",
        repr=False,
        description="Bearer token for `/metrics`. Without one it answers on this machine only.",
    )
    audit_days: int = Field(
        0, ge=0, le=36_500, description="Days that audit entries are kept; 0 keeps all."
    )
    log_days: int = Field(
        30,
        ge=0,
        le=36_500,
        description="Days that the log and the speed curve of a job are kept after its end; 0 "
        "keeps all.",
    )
    require_second_factor: Annotated[tuple[RoleName, ...], NoDecode] = Field(
        (),
        description="Comma-separated roles that cannot sign in without a second factor, such as "
        "`admin,operator`; who has none sets one up at the next sign-in.",
    )
    oidc_issuer: str = Field(
        "",
        description="Address of the OpenID Connect provider for single sign-on, as it calls "
        "itself.",
    )
    oidc_client_id: str = Field(
        "", validate_default=True, description="What the provider calls this portal."
    )
    oidc_client_secret: str = Field(
        "", repr=False, description="The portal's secret at the provider, if it has one."
    )
    oidc_roles: Annotated[tuple[tuple[str, RoleName], ...], NoDecode] = Field(
        (),
        validate_default=True,
        description="Comma-separated `value:role` pairs: who has the value in the claim has the "
        "role, such as `admins:admin,ops:operator`. The highest counts; `*` is everybody.",
    )
    oidc_role_claim: str = Field("groups", description="Claim that holds these values.")
    oidc_scopes: str = Field(
        "openid profile", description="What the provider is asked for, separated by spaces."
    )
    oidc_name: str = Field(
        "single sign-on", description="What the button of the sign-in page calls the provider."
    )
    oidc_second_factor: bool = Field(
        False,
        description="The provider asks everybody for a second factor, so that the portal does not. "
        "It need not be set for providers that say `mfa` in the claim `amr`.",
    )
    password_sign_in: bool = Field(
        True,
        description="Allow sign-in by password. If false, only single sign-on is possible.",
    )
    test_time_scale: float = Field(
        1.0,
        gt=0,
        le=1,
        description="For tests: factor on the waits of the page's live connection, and on the "
        "leases of workers.",
    )

    @field_validator("transfer_roots", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        roots = tuple(part for part in value.split(":") if part)
        if value and not roots:
            raise ValueError("names no folder; unset it if the default is meant")
        return roots

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        # From the right: names of groups may be URNs.
        pairs = [part.strip().rpartition(":") for part in value.split(",") if part.strip()]
        if wrong := [role for name, _, role in pairs if not name or role not in ROLE_NAMES]:
            raise ValueError(f"no pair of a value and viewer, operator or admin: {wrong[0]}")
        return tuple((name.strip(), role) for name, _, role in pairs)

    @field_validator("oidc_issuer")
    @classmethod
    def _require_https(cls, value: str) -> str:
        parts = urlsplit(value)
        here = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if value and (
            not parts.hostname
            or parts.query
            or parts.fragment
            or not (parts.scheme == "https" or (parts.scheme == "http" and here))
        ):
            raise ValueError("must begin with https:// and have no ? or #")
        return value

    @field_validator("oidc_client_id", "oidc_roles")
    @classmethod
    def _require_issuer(cls, value: object, info: ValidationInfo) -> object:
        if bool(value) != bool(info.data.get("oidc_issuer", value)):
            raise ValueError(
                "single sign-on needs PORTAL_OIDC_ISSUER, PORTAL_OIDC_CLIENT_ID and "
                "PORTAL_OIDC_ROLES together"
            )
        return value

    @field_validator("password_sign_in")
    @classmethod
    def _require_a_way_in(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and not info.data.get("oidc_issuer"):
            raise ValueError("without it, single sign-on must be set up")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _is_openid(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("must hold openid")
        return value

    @field_validator(
        "allowed_hosts",
        "previous_secret_keys",
        "remotes_refuse",
        "require_second_factor",
        mode="before",
    )
    @classmethod
    def _names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        if value and not names:
            # Nobody writes a comma to have any host allowed, or no second factor demanded.
            raise ValueError("names nothing; unset it if that is meant")
        return names

    @field_validator("allowed_hosts")
    @classmethod
    def _plain_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in value if not _HOST.fullmatch(name)]:
            raise ValueError(f"no name of a host: {', '.join(wrong)}")
        return value

    @field_validator("remotes_refuse")
    @classmethod
    def _plain_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return addresses.networks(value)

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if value.parts[:1] and value.parts[0].startswith("~"):
            raise ValueError(f"~ is the home folder to a shell alone; write the full path: {value}")
        if re.search(r"[\x00-\x1f\x7f]", str(value)):
            raise ValueError("a line break or another control character stands in it")
        return value

    @field_validator("transfer_roots")
    @classmethod
    def _full_paths(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        relative = [str(root) for root in value if not root.is_absolute()]
        if relative:
            raise ValueError(f"not a full path: {', '.join(relative)}")
        return value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("previous_secret_keys")
    @classmethod
    def _each_long_enough(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(len(key) < 32 for key in value):
            raise ValueError("each must have at least 32 characters, as every secret key has")
        return value

    @field_validator("admin_password")
    @classmethod
    def _acceptable(cls, value: str) -> str:
        if len(value) > 1024:
            raise ValueError("must have at most 1024 characters")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        return addresses.database_url(value) if value else value

    @field_validator("redis_url")
    @classmethod
    def _require_postgresql(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        addresses.refuse_bad_redis_url(value)
        if not info.data.get("database_url", "postgres").startswith("postgres"):
            raise ValueError(
                "several processes cannot share SQLite; set PORTAL_DATABASE_URL to a "
                "postgresql:// address too, or unset it"
            )
        return value

    @field_validator("base_url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        return addresses.base_url(value) if value else value

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, value: str) -> str:
        return value[1:-1] if re.fullmatch(r"\[[0-9A-Fa-f:.%\w]+\]", value) else value

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        data = self.data_dir.absolute()
        roots = self.transfer_roots or (data / "files",)
        url = self.database_url or addresses.of_sqlite(data / "portal.sqlite")
        for name, completed in (
            ("data_dir", data),
            ("transfer_roots", roots),
            ("database_url", url),
        ):
            # Settings are frozen, but these are not complete yet.
            object.__setattr__(self, name, completed)
        if "secure_cookies" not in self.model_fields_set:
            object.__setattr__(self, "secure_cookies", self.base_url.startswith("https:"))
        return self

    @property
    def scale_out(self) -> bool:
        """Whether the portal is several processes; else it is one that does everything."""
        return bool(self.redis_url)

    @property
    def base_path(self) -> str:
        """Prefix of every path, such as ``/portal``; empty if the portal has a host of its own."""
        return urlsplit(self.base_url).path

    @property
    def own_url(self) -> str:
        """Address of the portal for people on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def lock_file(self) -> Path:
        return self.data_dir / "portal.lock"

    def prepare(self) -> None:
        """Makes the data folder and the default root; other roots are the administrator's."""
        if self.oidc_issuer and find_spec("authlib") is None:
            raise SettingsError(
                "PORTAL_OIDC_ISSUER: single sign-on needs further packages. Install them by "
                "pip install 'transfer-portal[oidc]', or unset the variable."
            )
        folders.prepare(self.data_dir, self.transfer_roots)

    def signing_key(self) -> str:
        """The secret key; generated into the data folder (mode 0600) when none was given."""
        return self.secret_key or secret_files.own_key(self.data_dir / "secret_key")
