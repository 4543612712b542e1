"""Sends rows as lines of a file, a few at a time, so that a long list needs no more memory than a
short one."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from werkzeug.wrappers import Response

from portal.presentation.formatting import printable

Value = str | int | None
Table = Iterable[Sequence[Sequence[Value]]]

#: A cell that begins with one of these becomes a formula in a spreadsheet; the full-width forms
#: count too.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_KINDS: Mapping[str, str] = {"csv": "text/csv", "jsonl": "application/jsonl"}
FORMS = tuple(_KINDS)


def attachment(form: str, name: str, day: date, columns: Sequence[str], rows: Table) -> Response:
    """``rows`` come in groups. Each group is sent before the next one is read."""
    body = _csv(columns, rows) if form == "csv" else _json_lines(columns, rows)
    response = Response(body, content_type=f"{_KINDS[form]}; charset=utf-8")
    response.headers.set("Content-Disposition", "attachment", filename=f"{name}-{day}.{form}")
    return response


def _csv(columns: Sequence[str], rows: Table) -> Iterator[str]:
    """CSV after RFC 4180."""
    yield ",".join(columns) + "\r\n"
    for group in rows:
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerows([[_cell(value) for value in row] for row in group])
        yield text.getvalue()
        time.sleep(0)  # other threads of this process run meanwhile


def _json_lines(columns: Sequence[str], rows: Table) -> Iterator[str]:
    """One object a line."""
    for group in rows:
        yield "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in group)
        time.sleep(0)  # as above


def _cell(value: Value) -> str:
    """Returns text that no spreadsheet takes for a formula, and that stays on its line."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    shown = printable(value)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown
