"""Checks addresses of the settings, such as those of the database and of Redis, before anything
connects to them.

Our messages never repeat an address, because it may contain a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

#: The only driver for each database that is installed with the portal.
_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg", "postgres": "psycopg"}
#: A path below which a portal may be served. Nothing in it can be mistaken for a host, or break out
#: of a header or an attribute.
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8}")
_LONGEST_PREFIX = 128
_ENCODE = "in a user name or password, write / as %2F, @ as %40, : as %3A, # as %23 and ? as %3F"


def database_url(value: str) -> str:
    """Returns the address in SQLAlchemy's form. Raises ValueError with what is wrong with it."""
    backend, _, driver = value.partition("://")[0].partition("+")
    if "://" not in value or backend not in _DRIVERS:
        raise ValueError("must begin with sqlite:// or postgresql://")
    if driver not in ("", _DRIVERS[backend]):
        raise ValueError(
            f"the portal reaches {backend} by {_DRIVERS[backend]}, not by {driver}; "
            f"write {backend}:// without +{driver}"
        )
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(f"is no address of a database; the port is a number, and {_ENCODE}") from (
            None
        )
    if backend == "sqlite":
        if "?" in value:
            # SQLAlchemy would drop the question mark and the rest of a folder's name.
            raise ValueError("takes no options; in the name of a file, write ? as %3F")
        return _sqlite(url).render_as_string()
    if url.port is not None and not 0 < url.port <= 65535:
        raise ValueError("the port must lie between 1 and 65535")
    url = url.set(drivername=url.drivername.replace("postgres+", "postgresql+"))
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def of_sqlite(file: Path) -> str:
    """Not joined by hand: a folder's name may contain characters with a meaning in an address."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def sqlite_file(address: str) -> Path | None:
    """Returns the file of an address that ``database_url`` has accepted; None for PostgreSQL."""
    url = make_url(address)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def is_prefix(path: str) -> bool:
    return len(path) <= _LONGEST_PREFIX and _PREFIX.fullmatch(path) is not None


def refuse_bad_redis_url(value: str) -> None:
    """Raises ValueError with what is wrong with the address."""
    scheme = value.partition("://")[0]
    if "://" not in value or scheme not in ("redis", "rediss"):
        raise ValueError("must begin with redis:// or rediss://")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(
            f"is no address of Redis; the port is a number up to 65535, and {_ENCODE}"
        ) from None
    if not host or port == 0 or parts.fragment:
        raise ValueError(f"names no server; write redis://host:6379/0, and {_ENCODE}")
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError(f"the database is a number, as in redis://host:6379/0; {_ENCODE}")


def networks(value: Iterable[str]) -> tuple[str, ...]:
    """Returns them in their shortest form. Raises ValueError with what is wrong with the first that
    is none."""
    try:
        return tuple(str(ip_network(network)) for network in value)
    except ValueError as wrong:
        raise ValueError(f"no network: {wrong}; write one such as 10.1.0.0/16") from None


def base_url(value: str) -> str:
    """Returns the address without a slash at its end. Raises ValueError with what is wrong with
    it."""
    try:
        parts = urlsplit(value)
        good = parts.hostname and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError:
        good = None
    if not good or not value.isascii() or not value.isprintable():
        raise ValueError("write an address such as https://example.org/portal")
    parts = urlsplit(value)
    if parts.query or parts.fragment or "@" in parts.netloc or value.endswith(("?", "#")):
        raise ValueError("write the address alone, without a user name, ? or #")
    path = parts.path.rstrip("/")
    if path and not is_prefix(path):
        raise ValueError("its path may hold letters, digits, dots, dashes, _ and ~")
    return parts._replace(path=path).geturl()


def _sqlite(url: URL) -> URL:
    if not url.database or url.database == ":memory:":
        raise ValueError(
            "names no file, so that everything would be lost at the end; write "
            "sqlite:////full/path/portal.sqlite"
        )
    if url.database.startswith("file:"):
        raise ValueError("write the plain path: sqlite:////full/path/portal.sqlite")
    if url.host or url.port or url.username:
        raise ValueError("a full path needs four slashes: sqlite:////full/path/portal.sqlite")
    return url.set(database=str(Path(url.database).absolute()))
