"""A browser without JavaScript, at an application in the process of the test."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from portal.db.session import session
from portal.errors import Conflict, NotFound
from tests.support.users import PASSWORD


class Browser:
    """Signs in and fills forms as a browser does: with the token of the page it came from."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()
        self.app = app
        self._token = ""
        self._token_of: str | None = None

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def token(self) -> str:
        """Asks for a page only where the cookie is another one than that of the last token."""
        if self._cookie is None or self._cookie != self._token_of:
            page = self.get("/sessions")  # one of the lightest
            if page.status_code != 200:
                page = self.get("/login")
            found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
            assert found is not None
            self._token, self._token_of = found.group(1), self._cookie
        return self._token

    @property
    def _cookie(self) -> str | None:
        found = self.client.get_cookie(self.app.config["SESSION_COOKIE_NAME"])
        return found.value if found else None

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
        return self.client.post(path, data={"csrf_token": self.token(), **(data or {})}, **options)

    def sign_in(self, username: str, password: str = PASSWORD, **more: str) -> Any:
        return self.post("/login", {"username": username, "password": password, **more})


def sign_in_at_once(people: list[Browser], forms: list[dict[str, str]]) -> list[int]:
    """The codes of as many forms, sent in the same moment."""
    start = threading.Barrier(len(people))
    codes: list[int] = []

    def ask(one: Browser, form: dict[str, str]) -> None:
        start.wait()
        codes.append(one.client.post("/login", data=form).status_code)

    threads = [threading.Thread(target=ask, args=pair) for pair in zip(people, forms, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return codes


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What the acts gave or raised, begun at the same moment in a thread each."""
    start = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)

    def run(index: int, act: Callable[[], Any]) -> None:
        start.wait()
        try:
            results[index] = act()
        except (Conflict, NotFound) as error:
            results[index] = error
        finally:
            session.remove()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results
