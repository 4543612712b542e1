"""Names and explanations of a remote's options: in the provider's own words where it shows them to
its customers, and otherwise where rclone's help is written for people who edit its file."""

from __future__ import annotations

import re

_AZURE = "https://account.blob.core.windows.net"

_LABELS = {
    "pass": "Password",
    "key_pem": "Private key",
    "key_file_pass": "Passphrase of the key",
    "pubkey": "Certificate of the key",
    "tls": "Implicit TLS",
    "explicit_tls": "Explicit TLS",
    "disable_tls13": "Disable TLS 1.3",
    "no_check_certificate": "Accept any certificate",
    "url": "Address",
    "service_account_credentials": "Key of the service account",
    "sas_url": "SAS address",
    "set_modtime": "Set modification times",
    "project_number": "Project number",
}
_LABELS_OF = {
    ("b2", "account"): "keyID",
    ("b2", "key"): "applicationKey",
    ("azureblob", "account"): "Storage account",
    ("azureblob", "key"): "Access key",
}
_HELPS = {
    "access_key_id": "Empty for public buckets.",
    "secret_access_key": "",
    "endpoint": "Address of the service, such as s3.example.org. Empty: the provider's own.",
    "provider": "",
    "pass": "",
    "key_pem": "In PEM form, from its line BEGIN to its line END.",
    "key_file_pass": "Only if the private key has one.",
    "pubkey": "A signed certificate, if the server asks for one.",
    "host": "Name or address, such as files.example.org.",
    "url": "Such as https://cloud.example.org/remote.php/dav/files/bob.",
    "user": "",
    "service_account_credentials": "The whole JSON key file of the service account.",
    "anonymous": "For public buckets, without a key.",
    "host_keys": "The server must have one of these keys. Paste the lines that ssh-keyscan prints, "
    "or leave it empty: the first test that succeeds pins the key that the server shows.",
    "sas_url": "Instead of account and key: an address with a signature.",
    "account": "",
    "key": "",
    "hard_delete": "Otherwise deleted files are only hidden and still kept.",
}
_HELPS_OF = {
    ("b2", "account"): "Shown beside the application key in Backblaze's list of keys.",
    ("b2", "key"): "Backblaze shows it once, when the application key is created.",
    ("b2", "endpoint"): "Leave empty: Backblaze supplies it.",
    ("azureblob", "account"): "Its name, such as examplestorage.",
    ("azureblob", "key"): "key1 or key2 of the storage account's access keys.",
    ("azureblob", "sas_url"): f"Instead of account and key: such as {_AZURE}/?sv=…&sig=…",
    ("azureblob", "endpoint"): f"Such as {_AZURE}. Empty: that of the storage account.",
    ("gcs", "endpoint"): "Leave empty for Google's own.",
    (
        "gcs",
        "project_number",
    ): "Needed to list or create buckets; not for a bucket in “Start folder”.",
    ("ftp", "explicit_tls"): "Encrypts the connection (AUTH TLS). Turn it off only for a server "
    "without TLS: then anyone in between can read your password and files.",
    ("ftp", "tls"): "For old servers that start with TLS at once, usually on port 990.",
    ("ftp", "no_check_certificate"): "Anyone can pretend to be the server.",
    (
        "ftp",
        "disable_tls13",
    ): "Try this if files arrive damaged: with TLS 1.3 some servers lose the end of a file.",
    ("ftp", "disable_mlsd"): "For servers that report a missing folder as a wrong command.",
    ("ftp", "writing_mdtm"): "For vsftpd, which sets times with MDTM.",
}


def label(name: str, backend: str = "") -> str:
    """``access_key_id`` as a person reads it."""
    words = _LABELS_OF.get((backend, name)) or _LABELS.get(name)
    if words:
        return words
    return re.sub(
        r"\b(id|acl|tls|url|sas|http2|utf8|tls13|epsv|mlsd|spn)\b",
        lambda found: found[0].upper(),
        name.replace("_", " ").capitalize(),
        flags=re.IGNORECASE,
    )


def help_text(name: str, backend: str) -> str | None:
    """None: rclone's own help is good enough."""
    return _HELPS_OF.get((backend, name), _HELPS.get(name))
