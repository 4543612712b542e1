"""What a test of a remote has found, in a sentence."""

from __future__ import annotations

from portal import engine
from portal.models import Remote
from portal.remotes import options as parameters
from portal.remotes.backends import BACKENDS, Backend
from portal.services.actor import Actor
from portal.services.storage import connections
from portal.transfers.counted import counted


def test(remote: Remote, actor: Actor) -> tuple[bool, str, str]:
    """Returns whether it works, a sentence, and the host key that was shown if none is pinned, in
    rclone's form. Raises TooMany and GivenUp."""
    try:
        if remote.backend == "sftp" and not remote.options.get("host_keys"):
            found, shown = connections.list_and_learn(remote, remote.start, actor=actor)
            return *_judge(remote, found, answers_to_anything=False), _valid(shown)
        found, anything = connections.test(remote, remote.start, actor=actor)
    except connections.Unusable as unusable:
        return False, unusable.message, ""
    return *_judge(remote, found, answers_to_anything=anything), ""


def _valid(shown: str) -> str:
    try:
        return parameters.host_keys(shown)
    except parameters.Refused:
        return ""


def _judge(remote: Remote, found: engine.Listing, *, answers_to_anything: bool) -> tuple[bool, str]:
    start = remote.start
    duration = f"{found.seconds:.1f} s"
    backend = BACKENDS[remote.backend]
    if found.missing:
        return False, f"{_nothing_there(backend, start)} ({duration})"
    if found.unknown:
        return False, f"The test failed. rclone says: {found.unknown} ({duration})"
    if found.problem:
        return False, f"{found.problem} ({duration})"
    if answers_to_anything:
        return False, (
            f"Something answers there, but it is not {backend.title}: it accepts every request, "
            f"like an ordinary web page. Check the address. ({duration})"
        )
    entries = counted(len(found.entries), "entry", "entries")
    return True, f"Works: found {entries} in {remote.name}:{start} ({duration})"


def _nothing_there(backend: Backend, start: str) -> str:
    if not start:
        return "A server answers, but has nothing at this address. Check the whole address."
    if backend.top == "folder" or "/" in start.strip("/"):
        return f"It answers, but there is no folder “{start}”."
    return f"It answers, but there is no {backend.top} “{start}”."
