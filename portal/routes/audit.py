from flask import Blueprint, render_template

from portal.access import requires
from portal.database import session
from portal.models import Role
from portal.routes.paging import page_number
from portal.services import audit

blueprint = Blueprint("audit", __name__)

_PAGE_SIZE = 50


@blueprint.get("/audit")
@requires(Role.ADMIN)
def index() -> str:
    number = page_number()
    entries, total = audit.page(session(), number, _PAGE_SIZE)
    pages = max(1, -(-total // _PAGE_SIZE))
    return render_template(
        "audit.html", entries=entries, number=number, pages_count=pages, total=total
    )
