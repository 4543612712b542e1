"""Reads the settings from the environment. A bad value stops the start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches

from pydantic import ValidationError

from portal.errors import SettingsError
from portal.runtime import secret_files
from portal.settings.table import Settings

#: Settings that hold secrets; each may also be given as ``…_FILE``, which names a file with it.
SECRETS = tuple(name for name, field in Settings.model_fields.items() if not field.repr)


def unknown_variables() -> list[str]:
    """Returns variables of the environment that look like settings and are none, each in a few
    words. Otherwise a mistyped setting would silently keep its default."""
    known = {f"PORTAL_{name.upper()}" for name in Settings.model_fields}
    known |= {f"PORTAL_{name.upper()}_FILE" for name in SECRETS}
    unknown = []
    for name in sorted(os.environ):
        if name.startswith("PORTAL_") and name not in known:
            like = get_close_matches(name, known, 1, 0.85)
            unknown.append(f"{name} (is {like[0]} meant?)" if like else name)
    return unknown


def load_settings(**values: object) -> Settings:
    """Reads the settings from the environment. Raises SettingsError, which names the variable."""
    read, problems = secret_files.from_environment(SECRETS)
    try:
        settings = Settings(**(read | values))  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = [_sentence(item, read) for item in error.errors()]
        raise SettingsError("\n".join(problems + wrong)) from None
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _sentence(item: object, from_files: Mapping[str, str]) -> str:
    assert isinstance(item, dict)  # noqa: S101 - the shape of pydantic's error list
    name = "_".join(str(part) for part in item["loc"][:1])
    reason = str(item["msg"]).removeprefix("Value error, ")
    return f"PORTAL_{name.upper()}{'_FILE' if name in from_files else ''}: {reason}"
