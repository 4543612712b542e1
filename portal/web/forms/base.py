"""What all forms of pages have in common."""

from __future__ import annotations

from typing import Any

from flask import request
from flask_wtf import FlaskForm
from flask_wtf.form import _Auto
from werkzeug.datastructures import MultiDict


class Form(FlaskForm):
    """Takes the fields of a form and nothing else. The library also takes files and JSON, whose
    values are no text: fields and validators fail on them."""

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form: Any, formdata: Any) -> MultiDict[str, str] | None:
            if formdata is not _Auto:
                wrapped: MultiDict[str, str] | None = super().wrap_formdata(form, formdata)
                return wrapped
            return request.form or None if form.is_submitted() else None
