from flask import Blueprint, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from portal.errors import Invalid
from portal.models import Role
from portal.services import bandwidth_budgets
from portal.services.bandwidth_budgets import BudgetUse
from portal.web.access import actor, me, requires
from portal.web.forms.bandwidth import BudgetsForm, form_for

blueprint = Blueprint("bandwidth", __name__)


@blueprint.get("/settings/bandwidth")
@requires(Role.ADMIN)
def show() -> str:
    uses = bandwidth_budgets.uses()
    return _page(uses, form_for(uses, formdata=None))


@blueprint.post("/settings/bandwidth")
@requires(Role.ADMIN)
def change() -> Response | tuple[str, int]:
    uses = bandwidth_budgets.uses()
    form = form_for(uses)
    try:
        bandwidth_budgets.save(form.texts(), me().settings.timezone, actor=actor())
    except Invalid as invalid:
        form.say(invalid.errors)
        return _page(uses, form), 422
    flash("The bandwidth budgets are saved. Running jobs follow within three seconds.")
    return redirect(url_for("bandwidth.show"), 303)


def _page(uses: list[BudgetUse], form: BudgetsForm) -> str:
    return render_template("bandwidth.html", uses=uses, form=form)
