"""The form of all bandwidth budgets: one field for the portal, and one for each remote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from wtforms import Field, StringField

from portal.models import OF_PORTAL
from portal.services.bandwidth_budgets import BudgetUse
from portal.transfers.validation import BANDWIDTH_LENGTH
from portal.web.forms.base import Form

_NAME = "bandwidth_budget"


class BudgetsForm(Form):
    """Fields are added by ``form_for``. One that is not in the request keeps its value."""

    ids: tuple[int, ...] = ()

    def of(self, budget_id: int) -> Field:
        return self[_name(budget_id)]

    def texts(self) -> dict[int, str]:
        """Returns what was sent, by the ids of the budgets."""
        return {
            number: self.of(number).data or "" for number in self.ids if self.of(number).raw_data
        }

    def say(self, errors: Mapping[str, str]) -> None:
        """Shows each error beside its field; the keys are ids of budgets."""
        for number, problem in errors.items():
            self.of(int(number)).errors = [problem]


def form_for(uses: Iterable[BudgetUse], **options: Any) -> BudgetsForm:
    """Returns the form of these budgets, filled with their rates unless something was typed."""
    fields: dict[str, Any] = {"ids": tuple(one.id for one in uses)}
    for one in uses:
        label = one.remote.name if one.remote else "Whole portal"
        fields[_name(one.id)] = StringField(label, render_kw={"maxlength": BANDWIDTH_LENGTH})
    made = type("FormOfBudgets", (BudgetsForm,), fields)
    data = {_name(one.id): one.budget.rate for one in uses if one.budget}
    form: BudgetsForm = made(data=data, **options)
    return form


def _name(budget_id: int) -> str:
    return _NAME if budget_id == OF_PORTAL else f"{_NAME}_{budget_id}"
