"""The alert rules: each metric that they name is one that the portal tells."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from flask import Flask

from portal.realtime.bus.messages import IgnoredMessages
from portal.realtime.fanout.send_buffer import DropCounts
from portal.settings import Settings
from tests.support.applications import configure
from tests.support.project import ROOT

#: Prometheus' own.
GIVEN = {"up"}
WORDS = re.compile(r"(?<![\w.\"{])(?:portal|process)_\w+|\bup\b")


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


@pytest.fixture
def app(app: Flask, settings: Settings) -> Flask:
    """With what only a portal with workers tells."""
    configure(app, settings=settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    return app


def test_every_metric_that_a_rule_names_is_reported(
    app: Flask, browser: Any, rules: list[dict[str, Any]]
) -> None:
    # Counters appear once they have counted something.
    app.context[DropCounts]["slow"] = 1
    app.context[IgnoredMessages]["unreadable"] = 1
    told = set(re.findall(r"^(\w+)", browser().get("/metrics").text, re.MULTILINE))

    for rule in rules:
        named = set(WORDS.findall(rule["expr"]))
        assert named, rule["alert"]
        assert named - GIVEN <= told, rule["alert"]


def test_every_label_that_a_rule_looks_at_is_reported(
    browser: Any, rules: list[dict[str, Any]]
) -> None:
    told = browser().get("/metrics").text
    looked_at = {
        (metric, label)
        for rule in rules
        for metric, label in re.findall(r'(portal_\w+){(\w+="\w+")}', rule["expr"])
    }
    assert looked_at
    assert [found for found in looked_at if f"{found[0]}{{{found[1]}}}" not in told] == []


def test_every_rule_says_what_is_wrong(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        assert rule["annotations"]["summary"].endswith((".", "?"))
        assert rule["labels"]["severity"] in ("page", "ticket")
