"""The kinds of storage that may be remotes, and the options that may be set for each.

Each option was examined before it was added. Left out on purpose: every option that runs a command,
reads a file or the environment of this machine, stores a token itself, diverts the connection
(proxies, sockets, more endpoints), writes secrets to a log, or wraps another remote. The rest about
an option (its help, type and choices) comes from rclone itself.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backend:
    """``options`` in the order of the form; rarely used ones are in ``more``. ``passwords`` are
    obscured for rclone; they and ``secrets`` are encrypted in the database. ``endpoints`` name a
    server. ``pinned``: rclone connects to nothing else, so it gets the address that was checked.
    ``top``: the word for the uppermost folders. ``objects``: below these it keeps no empty
    folder."""

    key: str
    rclone: str
    title: str
    about: str
    options: tuple[str, ...]
    more: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    passwords: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()
    endpoints: tuple[str, ...] = ()
    pinned: bool = False
    top: str = "folder"
    objects: bool = False

    @property
    def allowed(self) -> tuple[str, ...]:
        return self.options + self.more

    @property
    def secrets(self) -> frozenset[str]:
        return self.passwords | self.tokens

    @property
    def target(self) -> frozenset[str]:
        """The options that decide where secrets are sent: a person who changes one must know
        them."""
        return frozenset(self.endpoints) | ({"port", "provider"} & set(self.allowed))


# fmt: off
_LIST = (
    Backend(
        key="s3",
        rclone="s3",
        title="S3 and compatible",
        about="Buckets on Amazon S3, MinIO, Ceph, Cloudflare R2, Wasabi and similar services.",
        options=(
            "provider", "access_key_id", "secret_access_key", "region", "endpoint",
            "location_constraint", "acl", "storage_class", "server_side_encryption",
        ),
        more=(
            "session_token", "force_path_style", "no_check_bucket", "chunk_size",
            "upload_cutoff", "upload_concurrency", "directory_markers", "disable_http2",
        ),
        needs=(("provider",),),
        tokens=frozenset({"secret_access_key", "session_token"}),
        endpoints=("endpoint",),
        top="bucket",
        objects=True,
    ),
    Backend(
        key="sftp",
        rclone="sftp",
        title="SFTP",
        about="A server over SSH, with a password or a key.",
        options=("host", "port", "user", "pass", "key_pem", "key_file_pass"),
        more=(
            "host_keys", "pubkey", "shell_type", "disable_hashcheck", "set_modtime",
            "skip_links", "concurrency", "connections", "chunk_size", "idle_timeout",
        ),
        needs=(("host",), ("user",), ("pass", "key_pem")),
        passwords=frozenset({"pass", "key_file_pass"}),
        tokens=frozenset({"key_pem"}),
        endpoints=("host",),
    ),
    Backend(
        key="webdav",
        rclone="webdav",
        title="WebDAV",
        about="Nextcloud, ownCloud, SharePoint and other WebDAV servers.",
        options=("url", "vendor", "user", "pass", "bearer_token"),
        more=("nextcloud_chunk_size", "owncloud_exclude_shares", "pacer_min_sleep"),
        needs=(("url",),),
        passwords=frozenset({"pass"}),
        tokens=frozenset({"bearer_token"}),
        endpoints=("url",),
    ),
    Backend(
        key="ftp",
        rclone="ftp",
        title="FTP",
        about="An FTP server, with TLS if it offers it; without it, passwords are readable.",
        options=("host", "port", "user", "pass", "explicit_tls", "tls"),
        more=(
            "no_check_certificate", "disable_tls13", "concurrency", "disable_epsv",
            "disable_mlsd", "disable_utf8", "writing_mdtm", "force_list_hidden", "idle_timeout",
        ),
        needs=(("host",), ("user",)),
        passwords=frozenset({"pass"}),
        endpoints=("host",),
    ),
    Backend(
        key="smb",
        rclone="smb",
        title="SMB",
        about="Shared folders on Windows, Samba and most NAS devices.",
        options=("host", "port", "user", "pass", "domain"),
        more=("spn", "hide_special_share", "case_insensitive", "idle_timeout"),
        needs=(("host",), ("user",)),
        passwords=frozenset({"pass"}),
        endpoints=("host",),
        pinned=True,
        top="share",
    ),
    Backend(
        key="azureblob",
        rclone="azureblob",
        title="Azure Blob Storage",
        about="Containers in a Microsoft Azure storage account.",
        options=("account", "key", "sas_url", "tenant", "client_id", "client_secret"),
        more=(
            "endpoint", "access_tier", "chunk_size", "upload_concurrency",
            "no_check_container", "directory_markers",
        ),
        needs=(("account", "sas_url"),),
        tokens=frozenset({"key", "sas_url", "client_secret"}),
        endpoints=("endpoint", "sas_url"),
        top="container",
        objects=True,
    ),
    Backend(
        key="gcs",
        rclone="google cloud storage",
        title="Google Cloud Storage",
        about="Google Cloud buckets, with a service account key.",
        options=(
            "service_account_credentials", "anonymous", "project_number",
            "bucket_policy_only", "location", "storage_class", "object_acl",
        ),
        more=("endpoint", "no_check_bucket", "directory_markers"),
        needs=(("service_account_credentials", "anonymous"),),
        tokens=frozenset({"service_account_credentials"}),
        endpoints=("endpoint",),
        top="bucket",
        objects=True,
    ),
    Backend(
        key="b2",
        rclone="b2",
        title="Backblaze B2",
        about="Backblaze buckets, with an application key.",
        options=("account", "key", "hard_delete"),
        more=("endpoint", "chunk_size", "upload_cutoff", "upload_concurrency", "versions"),
        needs=(("account",), ("key",)),
        tokens=frozenset({"key"}),
        endpoints=("endpoint",),
        top="bucket",
        objects=True,
    ),
)
# fmt: on

BACKENDS = {backend.key: backend for backend in _LIST}
