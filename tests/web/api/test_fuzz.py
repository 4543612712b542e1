"""The API is asked whatever its own description allows, and much that it does not. It never fails,
never takes what it says it refuses, and answers in the shapes that it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from portal.web.routes.api.operations import OPERATIONS
from portal.web.routes.api.shapes import Query

EXAMPLES = 15
NUMBERS = (1, 2, 3, 4)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
#: The same examples in each run, and none taken from a folder.
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

#: Others go through nearly all of it too, and the tracer would take a third of the time.
pytestmark = pytest.mark.no_cover


@pytest.fixture
def operations(
    app: Flask, new_token: Callable[..., str], new_job: Callable[..., int]
) -> dict[str, Any]:
    """Each operation of the document by its name, asked with an admin's token."""
    for _ in NUMBERS:
        new_job()
    headers = {"Authorization": f"Bearer {new_token('alice')}"}
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app, headers=headers)
    schema.config.update(headers=headers)
    found = [result.ok() for result in schema.get_all_operations()]
    return {one.definition.raw["operationId"]: one for one in found}


def ask(case: Any, *more: Any) -> None:
    case.call_and_validate(checks=[*CHECKS, *more])


@pytest.mark.parametrize("name", [one.name for one in OPERATIONS])
def test_what_the_description_allows_is_answered_as_described(
    operations: dict[str, Any], root: Path, name: str
) -> None:
    strategy = operations[name].as_strategy(generation_mode=GenerationMode.POSITIVE)

    @BOUNDED
    @given(case=strategy, number=st.sampled_from((None, *NUMBERS)), inside=st.booleans())
    def answers(case: Any, number: int | None, inside: bool) -> None:
        if number is not None:  # else nearly every number would name nothing
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, number)
        if inside and name == "create_job":
            case.body |= {"source": str(root / "from"), "destination": str(root / "to")}
        ask(case)

    answers()


@pytest.mark.parametrize(
    "name",
    [one.name for one in OPERATIONS if one.numbers or one.body or one.query is not Query],
)
def test_what_the_description_forbids_is_refused_in_words(
    operations: dict[str, Any], name: str
) -> None:
    strategy = operations[name].as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @BOUNDED
    @given(case=strategy)
    def refuses(case: Any) -> None:
        ask(case, negative_data_rejection, missing_required_header)

    refuses()
