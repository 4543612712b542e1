"""Storages that are real servers, and remotes that lead to them."""

from __future__ import annotations

from tests.support.remotes import new_remote, settings, storages

__all__ = ["new_remote", "settings", "storages"]
