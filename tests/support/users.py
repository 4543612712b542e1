"""Who has an account at the portals of the tests, and the password of all of them."""

from __future__ import annotations

PASSWORD = "correct horse battery staple"
USERS = {"alice": "admin", "bob": "operator", "charlie": "viewer", "bella": "operator"}
