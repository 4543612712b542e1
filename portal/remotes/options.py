"""Validates the options of a remote by rclone's type, and by stricter rules of ours if a value
decides which server is contacted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from portal.engine import BackendOption
from portal.errors import Invalid
from portal.remotes.backends import Backend
from portal.remotes.hosts import HostRefused, host_in, refuse_malformed
from portal.remotes.option_words import label
from portal.transfers.names import is_line, is_name

MAX_LENGTH = 4_000
MAX_KEY_LENGTH = 16_000
#: Options that may have more than one line.
LONG = frozenset({"key_pem", "service_account_credentials", "host_keys"})

# With a unit: a bare number, which most take for bytes, is KiB to rclone.
_SIZE = re.compile(r"off|0|\d{1,9}(\.\d{1,3})?(b|[kmg](ib?)?)", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,6}(\.\d{1,3})?(ms|s|m|h))+", re.ASCII)
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
# These become part of a host's name, or of a path at a host that rclone already knows.
_LABEL = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_NAMES = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}", re.ASCII)
_CHOICES = frozenset(
    {
        "provider", "vendor", "acl", "storage_class", "server_side_encryption",
        "shell_type", "location", "object_acl",
    }
)  # fmt: skip
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n"
    r"[A-Za-z0-9+/=:,. \n-]+-----END [A-Z ]*PRIVATE KEY-----"
)
_HOST_KEY = re.compile(
    r"(?:^|[\s,])((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+) (AAAA[A-Za-z0-9+/]+={0,2})(?=[\s,]|$)", re.ASCII
)
_GOOGLES = ("https://oauth2.googleapis.com/token", "https://accounts.google.com/o/oauth2/token")
#: rclone's default is who runs it: not the same on every machine, and not what was meant.
_OF_THIS_MACHINE = frozenset({"user"})
_OF_AN_ACCOUNT = (
    "type", "project_id", "private_key_id", "private_key", "client_email", "client_id",
    "token_uri", "universe_domain",
)  # fmt: skip


class Refused(Exception):
    """A sentence for the person who typed the value."""


def validate(
    backend: Backend,
    known: Mapping[str, BackendOption],
    typed: Mapping[str, str],
    stored: Collection[str] = (),
) -> dict[str, str]:
    """The values for rclone, without empty ones and rclone's own defaults. ``stored``: secrets that
    exist already. Raises Invalid, with keys ``options.<name>``."""
    errors, values = {}, {}
    for name, text in typed.items():
        if name not in backend.allowed:
            errors[_key(name)] = "There is no such option."
            continue
        try:
            value = _value(backend, known[name], text)
        except (Refused, HostRefused) as refused:
            errors[_key(name)] = str(refused)
            continue
        if value and (value != known[name].default or name in backend.secrets | _OF_THIS_MACHINE):
            values[name] = value
    for names in backend.needs:
        if not any(name in values or name in stored or _key(name) in errors for name in names):
            errors[_key(names[0])] = _missing(backend, names)
    if {"tls", "explicit_tls"} <= values.keys():
        errors[_key("tls")] = "Choose only one of Explicit TLS and Implicit TLS."
    if errors:
        raise Invalid(errors)
    return values


def hosts(backend: Backend, values: Mapping[str, str]) -> dict[str, str]:
    """BackendOption → host, of each that names a server."""
    return {
        name: values[name] if name == "host" else host_in(values[name])
        for name in backend.endpoints
        if values.get(name)
    }


def choices(option: BackendOption) -> tuple[tuple[str, str], ...]:
    """The only values allowed, to choose from; empty if any value is allowed."""
    if option.name not in _CHOICES:
        return ()
    return tuple(pair for pair in option.examples if pair[0])


def _key(name: str) -> str:
    return f"options.{name[:60]}"


def _missing(backend: Backend, names: tuple[str, ...]) -> str:
    return f"Enter {' or '.join(label(name, backend.key) for name in names)}."


def _value(backend: Backend, option: BackendOption, text: str) -> str:
    if option.name in LONG:
        return _RULES[option.name](text)
    text = text if option.name in backend.passwords else text.strip()
    if not text:
        return ""
    if len(text) > MAX_LENGTH:
        raise Refused(f"Use at most {MAX_LENGTH} characters.")
    if not (is_line(text) if option.name in backend.secrets else is_name(text)):
        raise Refused("Leave out line breaks and control characters.")
    if allowed := choices(option):
        return _chosen(text, [value for value, _ in allowed])
    if option.name == "account" and backend.key == "azureblob":
        return _matching(_ACCOUNT, text, "Use 3 to 24 lowercase letters and digits.")
    if rule := _RULES.get(option.name):
        return rule(text)
    return _of_kind(option.kind, text)


def _of_kind(kind: str, text: str) -> str:
    if kind == "bool":
        return _chosen(text.lower(), ["true", "false"])
    if kind == "int":
        return _matching(_NUMBER, text, "Enter a whole number.")
    if kind == "SizeSuffix":
        return _matching(_SIZE, text, "Write a number and a unit, such as 16M.")
    if kind == "Duration":
        return _matching(_DURATION, text, "Use a time such as 30s or 5m.")
    return text


def _chosen(text: str, values: list[str]) -> str:
    if text not in values:
        raise Refused("Choose one from the list.")
    return text


def _matching(pattern: re.Pattern[str], text: str, otherwise: str) -> str:
    if not pattern.fullmatch(text):
        raise Refused(otherwise)
    return text


def _host(text: str) -> str:
    refuse_malformed(text)
    return text


def _endpoint(text: str) -> str:
    host_in(text)
    if re.search(r"[?#\s\\]", text):
        raise Refused("Remove everything from the ? or # on.")
    return text


def _url(text: str) -> str:
    if "://" not in text:
        raise Refused("Use an address that starts with https:// or http://.")
    return _endpoint(text)


def _signed(text: str) -> str:
    if not text.startswith("https://") or re.search(r"[#\s\\]", text):
        raise Refused("Use an address that starts with https://.")
    host_in(text)
    return text


def _port(text: str) -> str:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise Refused("Enter a number from 1 to 65535.")
    return text


def _pem(text: str) -> str:
    """On one line, as rclone wants it."""
    text = text.strip().replace("\r\n", "\n").replace("\\n", "\n")
    if not text:
        return ""
    if len(text) > MAX_KEY_LENGTH or not _PEM.fullmatch(text):
        raise Refused("Paste a private key in PEM form, from its line BEGIN to its line END.")
    return text.replace("\n", "\\n")


def host_keys(text: str) -> str:
    """``algorithm key``, separated by commas, as rclone wants them. Lines of ssh-keyscan and of
    known_hosts begin with the host; a public key may end with a comment. Raises Refused."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [_HOST_KEY.findall(line) for line in lines]
    if len(text) > MAX_KEY_LENGTH or not all(found):
        raise Refused("Paste the lines that ssh-keyscan prints: host, algorithm and key.")
    keys = [f"{algorithm} {key}" for line in found for algorithm, key in line]
    return ",".join(dict.fromkeys(keys))


def _service_account(text: str) -> str:
    """Only a key as Google hands it out: other kinds of credentials name files to read, programs to
    run and addresses to ask."""
    if not text.strip():
        return ""
    try:
        account: Any = json.loads(text) if len(text) <= MAX_KEY_LENGTH else None
    except ValueError:
        account = None
    if not isinstance(account, dict) or account.get("type") != "service_account":
        raise Refused("Paste the whole JSON key file of a service account.")
    kept = {name: account[name] for name in _OF_AN_ACCOUNT if name in account}
    if not all(isinstance(value, str) for value in kept.values()) or not kept.get("private_key"):
        raise Refused("This key file is not complete.")
    if kept.get("token_uri") not in _GOOGLES or kept.get("universe_domain", "googleapis.com") != (
        "googleapis.com"
    ):
        raise Refused("This key file points to a server that is not Google's.")
    return json.dumps(kept)


_RULES: dict[str, Callable[[str], str]] = {
    "host": _host,
    "port": _port,
    "url": _url,
    "endpoint": _endpoint,
    "sas_url": _signed,
    "region": lambda text: _matching(_LABEL, text, "Use letters, digits and dashes."),
    "tenant": lambda text: _matching(_NAMES, text, "Use letters, digits, dots and dashes."),
    "key_pem": _pem,
    "host_keys": host_keys,
    "service_account_credentials": _service_account,
}
