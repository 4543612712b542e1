from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal.errors import Invalid, NotFound
from portal.models import Remote, Role
from portal.remotes import host_keys
from portal.remotes.backends import BACKENDS, Backend
from portal.remotes.option_words import label
from portal.services import bandwidth_budgets
from portal.services.storage import remotes
from portal.web.access import actor, me, requires
from portal.web.forms.remotes import RemoteForm, form_for, help_of
from portal.web.rate_limits import RequestKind, limited_as

blueprint = Blueprint("remotes", __name__, url_prefix="/remotes")


@blueprint.get("")
@requires(Role.ADMIN)
def index() -> str:
    return render_template(
        "remotes/page.html",
        remotes=remotes.all_of_them(),
        backends=BACKENDS,
        roles=remotes.ROLES,
        budgets=bandwidth_budgets.all_rates(),
    )


@blueprint.get("/new")
@requires(Role.ADMIN)
def new() -> str:
    """Without ``?backend=`` it asks for the kind of storage."""
    if "backend" not in request.args:
        return render_template("remotes/choose.html", backends=BACKENDS)
    return _page(form_for(_backend(request.args["backend"]), formdata=None))


@blueprint.post("")
@requires(Role.ADMIN)
def create() -> Response | tuple[str, int]:
    form = form_for(_backend(request.form.get("backend", "")))
    form.timezone = me().settings.timezone
    try:
        remote = remotes.create(
            (form.name.data or "").strip(),
            form.backend.key,
            form.draft(),
            actor=actor(),
        )
    except Invalid as invalid:
        form.say(invalid.errors)
        form.ask_again()
        return _page(form), 422
    flash(f"The remote {remote.name} is saved. Test it before you use it.")
    return redirect(url_for("remotes.edit", remote_id=remote.id), 303)


@blueprint.get("/<id:remote_id>")
@requires(Role.ADMIN)
def edit(remote_id: int) -> str:
    remote = remotes.find(remote_id)
    return _page(form_for(BACKENDS[remote.backend], remote, formdata=None), remote)


@blueprint.post("/<id:remote_id>")
@requires(Role.ADMIN)
def change(remote_id: int) -> Response | tuple[str, int]:
    remote = remotes.find(remote_id)
    form = form_for(BACKENDS[remote.backend], remote)
    form.timezone = me().settings.timezone
    version = form.version.data or ""
    try:
        remotes.change(
            remote_id,
            int(version) if version.isdecimal() and len(version) < 10 else 0,
            form.draft(),
            actor=actor(),
        )
    except Invalid as invalid:
        form.say(invalid.errors)
        form.ask_again()
        return _page(form, remote), 422
    except remotes.Stale as stale:
        # The typed values stay in the form. If the person saves again, they knowingly replace the
        # other version.
        form.version.data = form.version.raw_data = None
        form.version.data = str(stale.current.version)
        form.ask_again()
        return _page(form, stale.current, stale=stale.message), 409
    flash(f"The remote {remote.name} is saved. Test it before you use it.")
    return redirect(url_for("remotes.edit", remote_id=remote_id), 303)


@blueprint.post("/<id:remote_id>/test")
@requires(Role.ADMIN)
@limited_as(RequestKind.STORAGES)
def test(remote_id: int) -> Response:
    remotes.test(remote_id, actor=actor())
    return redirect(url_for("remotes.edit", remote_id=remote_id), 303)


@blueprint.post("/<id:remote_id>/host-key")
@requires(Role.ADMIN)
def accept_host_key(remote_id: int) -> Response:
    remotes.accept_host_key(remote_id, request.form.get("fingerprint", "")[:200], actor=actor())
    flash("The new host key is pinned.")
    return redirect(url_for("remotes.edit", remote_id=remote_id), 303)


@blueprint.post("/<id:remote_id>/delete")
@requires(Role.ADMIN)
def delete(remote_id: int) -> Response:
    remote = remotes.delete(remote_id, actor=actor())
    flash(f"The remote {remote.name} and its secrets are deleted.")
    return redirect(url_for("remotes.index"), 303)


def _backend(key: str) -> Backend:
    if key not in BACKENDS:
        raise NotFound("There is no such kind of storage.")
    return BACKENDS[key]


def _page(form: RemoteForm, remote: Remote | None = None, stale: str = "") -> str:
    return render_template(
        "remotes/form.html",
        form=form,
        backend=form.backend,
        remote=remote,
        stale=stale,
        theirs=_theirs(form, remote) if stale and remote else {},
        pinned=host_keys.read(remote.options.get("host_keys", "")) if remote else (),
        help_of=help_of,
    )


def _theirs(form: RemoteForm, remote: Remote) -> dict[str, str]:
    """Returns the stored values that differ from the typed ones, by the label of the field."""
    draft = form.draft()
    found = {
        label(name, form.backend.key): remote.options.get(name) or "empty"
        for name in form.backend.allowed
        if name not in form.backend.secrets
        and (draft.options[name] not in ("", "false") or name in remote.options)
        and draft.options[name] != remote.options.get(name, "")
    }
    if draft.role != remote.role:
        found["Who may use it"] = str(remote.role)
    if draft.start != remote.start:
        found["Start folder"] = remote.start or "empty"
    if (budget := bandwidth_budgets.rate_of(remote.id) or "") != draft.bandwidth_budget:
        found["Bandwidth budget"] = budget or "empty"
    if draft.max_jobs != str(remote.max_jobs or ""):
        found["Jobs at once"] = str(remote.max_jobs or "empty")
    return found
