"""Takes the secrets of remotes out of what rclone says, whatever stands around them: some errors
repeat a whole address."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_SHORTEST = 4  # shorter ones would blacken innocent words
_BLACK = b"***"


class Blackening:
    """``clean`` gives a line without the secrets, however rclone has written them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        # The longest first, so that no end of one is left over.
        self._forms = sorted(forms, key=len, reverse=True)

    def clean(self, line: bytes) -> bytes:
        for form in self._forms:
            if form in line:
                line = line.replace(form, _BLACK)
        return line


def _forms(secret: str) -> set[bytes]:
    """As it is, in JSON, in an address, and each of these within JSON."""
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    written = {
        json.dumps(text, ensure_ascii=escaped)[1:-1] for text in plain for escaped in (False, True)
    }
    return {text.encode("utf-8", "surrogatepass") for text in plain | written}
