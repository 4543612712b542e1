"""Removes names from rclone's messages: a name must not be taken for the reason of an error.

A file may be called ``No space left on device.txt``, a bucket ``accessdenied``, a server
``ssh-agent``. Errors repeat such names: as paths, quoted, in addresses. The rest is the message of
the system or the storage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlsplit

from portal.engine.failures.exit_codes import is_reason
from portal.engine.order.remotes import Remote
from portal.engine.output.statistics import Error

#: Replaces a name. No pattern of a reason contains it.
_GONE = "\0"
#: The server's own words, which one library puts between quotes, and some FTP servers behind the
#: number of their answer.
_OWN_WORDS = re.compile(r'((?:\bsftp|(?:^|: |\* )\d{3}):? )"([^"\n]*)"')
_QUOTED = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
#: A quoted text after one of these words is a name.
_NAMING = re.compile(
    r"\b(?:file|folder|directory|path|object|bucket|container|share|key|entry|host|server|user|for)"
    r" $"
)
_LONGEST_WORD = 16
#: Quoted words of rclone's own, by which its errors are known.
_OWN_QUOTED = frozenset({"--bwlimit", "filter"})
#: The rest of a path whose beginning is known (the suffix of a partial file, or more folders), up
#: to the message of the system behind it.
_REST_OF_PATH = re.compile(rf"{_GONE}(?:[\\/][^\n]*|[^\s:\"]+)(?=: )|{_GONE}[\\/]\S*")
#: Characters of a message in which its reason is looked for, half of them at its end: many of the
#: patterns would take as long as the square of a longer one, which any storage may send.
_LONGEST = 4096
#: Folders above a file that an error may name, and the length of a path that can be one.
_LEVELS = 64
_LONGEST_PATH = 4096
_PICTURES = {0x2400 + code: code for code in range(1, 0x20)} | {0x2421: 0x7F}
_ADDRESSES = ("host", "url", "endpoint", "sas_url", "user", "account", "domain", "tenant")


class Names:
    """The names that a transfer is about."""

    def __init__(self, places: Iterable[str], remotes: Iterable[Remote] = ()) -> None:
        """``places``: source and destination, as an order has them."""
        self._remotes = {remote.name for remote in remotes}
        self._paths = [path for place in places if (path := self._path(place))]
        self._others = [
            *self._remotes,
            *(one for remote in remotes for one in _address_parts(remote)),
        ]

    def without(self, error: Error) -> str:
        """The words of the error alone."""
        text = _OWN_WORDS.sub(r"\1\2", error.message)
        for path in self._spelled(error.object):
            text = text.replace(path, _GONE)
        text = _shorten(text)
        text = _REST_OF_PATH.sub(_GONE, text)
        text = _QUOTED.sub(self._unquoted, text)
        for name in self._misleading(error.object):
            text = _without_word(name, text)
        return text

    def _path(self, place: str) -> str:
        name, colon, path = place.partition(":")
        return (path if colon and name in self._remotes else place).rstrip("/")

    def _spelled(self, object_: str) -> list[str]:
        """Paths as errors may spell them, the longest first."""
        inner = list(_ancestors(object_))
        paths = {f"{place}/{one}" for place in self._paths for one in inner}
        paths |= {one for place in self._paths for one in _ancestors(place) if "/" in one}
        # A name without a slash is cut out only where it is certain to be one, see below.
        paths |= {one for one in inner if "/" in one}
        spelled = {form for path in paths for form in _forms(path)}
        return sorted((one for one in spelled if len(one) > 1), key=len, reverse=True)

    def _unquoted(self, found: re.Match[str]) -> str:
        quoted = found[1]
        if quoted in _OWN_QUOTED:
            return found[0]
        name, colon, _ = quoted.partition(":")
        if colon and name in self._remotes:
            return f'"{name}:"'
        before = found.string[max(0, found.start() - _LONGEST_WORD) : found.start()]
        is_name = bool({"/", "\\", _GONE} & set(quoted)) or _NAMING.search(before) is not None
        return f'"{_GONE}"' if is_name else found[0]

    def _misleading(self, object_: str) -> list[str]:
        """Single names that would be taken for a reason."""
        object_ = object_ if len(object_) <= _LONGEST_PATH else ""
        parts = {part for path in (object_, *self._paths) for part in path.split("/") if part}
        forms = {form for part in (*parts, *self._others, object_) for form in _forms(part)}
        found = (one for one in forms if one and (is_reason(one) or is_reason(f": {one}")))
        return sorted(found, key=len, reverse=True)


def names_of(place: str, remote: Remote | None) -> Names:
    """The names of a question about one place."""
    return Names([place], [remote] if remote else [])


def _address_parts(remote: Remote) -> Iterator[str]:
    for name in _ADDRESSES:
        value = remote.parameters.get(name, "")
        yield value
        if "://" in value:
            try:
                parts = urlsplit(value)
                yield from (parts.netloc, parts.hostname or "", parts.path.strip("/"))
            except ValueError:
                continue


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}\n{text[-_LONGEST // 2 :]}"


def _ancestors(path: str) -> Iterator[str]:
    """The path itself, and the folders above it."""
    if len(path) > _LONGEST_PATH:
        yield path
        return
    for _ in range(_LEVELS):
        if not path.strip("/"):
            return
        yield path
        path = path.rpartition("/")[0]


def _forms(path: str) -> set[str]:
    """The spellings of a name: rclone's, the disk's, in an address, in Windows, quoted by Go."""
    plain = {path, path.translate(_PICTURES)}
    return plain | {
        form
        for one in plain
        for form in (
            quote(one, errors="replace"),
            one.replace("/", "\\"),
            one.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"),
        )
    }


def _without_word(name: str, text: str) -> str:
    """But for the system's own words right behind a path that is gone: a folder may be called
    ``permission denied``, and have none."""
    kept = rf"(?<!{_GONE}: )(?<![^\W_]){re.escape(name)}(?![^\W_])"
    return re.sub(kept, _GONE, text, flags=re.IGNORECASE)
