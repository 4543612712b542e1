"""Transfer Portal: long data transfers, run by those who may and watched live by all.

Importing this package imports nothing else, so that ``manage.py`` can prepare the process first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from portal.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application; ``settings`` default to the environment's."""
    from portal.app import build_app

    return build_app(settings)
