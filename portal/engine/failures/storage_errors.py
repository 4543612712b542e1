"""Error messages of remote storages, and what they mean for a person."""

from __future__ import annotations

import re

from portal.engine.failures.reasons import KnownReason


def _reason(
    text: tuple[str, ...], sentence: str, *, retry_words: str = "", one_file: bool = False
) -> KnownReason:
    """``retry_words`` is for errors that may pass; ``one_file``: it says nothing of others."""
    pattern = "|".join(map(re.escape, text))
    return KnownReason(pattern, sentence, None if one_file else bool(retry_words), retry_words)


_FINGERPRINT = r"SHA256:[A-Za-z0-9+/]{43}"

#: The particular first.
STORAGE_ERRORS: tuple[KnownReason, ...] = (
    KnownReason(
        r"host key mismatch for [^\n]*: server offered (?P<kind>[a-z0-9@.-]+) key with "
        rf"fingerprint (?P<offered>{_FINGERPRINT}); pinned fingerprints for this algorithm: "
        rf"(?P<pinned>{_FINGERPRINT}(?:, ?{_FINGERPRINT})*)",
        "The server's host key is not the pinned one. It shows {offered} ({kind}); pinned is "
        "{pinned}. Either the server has a new key, or another one answers in its place. Ask "
        "whoever runs it for the fingerprint; an admin can then accept the new key on the remote's "
        "page.",
    ),
    _reason(
        ("not allowed by ruleset",),
        "The storage leads to the portal's own machine, to a service that only it can see, or to a "
        "network that no remote may reach.",
    ),
    _reason(
        ("no such host",),
        "The storage server's name is unknown. Check the remote's address.",
    ),
    _reason(
        ("server misbehaving", "temporary failure in name resolution"),
        "The name of the storage's server could not be looked up. Check the network's name server.",
        retry_words="The name of {storage}'s server cannot be looked up",
    ),
    _reason(
        ("connection refused",),
        "The storage's server refuses the connection. Check the remote's address and port.",
        retry_words="{storage} refuses the connection",
    ),
    _reason(
        ("ssh-agent", "ssh agent"),
        "The remote has neither a password nor a key. Enter one.",
    ),
    _reason(
        (
            "no route to host",
            "network is unreachable",
            "host unreachable",
            "network unreachable",
        ),
        "The storage's server cannot be reached from here. Check the network and the firewall.",
        retry_words="{storage} cannot be reached",
    ),
    _reason(
        (
            "host key mismatch",
            "knownhosts: ",
            "host key is not",
        ),
        "The server's host key is not the pinned one. Find out why before you change the remote.",
    ),
    _reason(
        (
            "unable to authenticate",
            "signaturedoesnotmatch",
            "invalidaccesskeyid",
            "incorrect password",
            "401 unauthorized",
            "statuscode: 401",
            "not logged in",
            "login incorrect",
            "authenticationfailed",
            "logon failure",
            "logon is invalid",
            "invalid_grant",
            "bad_auth_token",
            "authorizationheadermalformed",
        ),
        "The storage did not accept the credentials. Check the remote's user, keys or password.",
    ),
    _reason(
        (
            "accessdenied",
            "access denied",
            "403 forbidden",
            "statuscode: 403",
            "insufficient permission",
        ),
        "The storage does not allow this with these credentials. Check what they may do there.",
    ),
    KnownReason(
        # A connection that breaks cannot be closed as TLS wants it, which says nothing of TLS.
        r"x509: |tls: (?!failed to send closenotify|use of closed connection)",
        "No safe connection could be made. Check the remote's address and certificate.",
    ),
    _reason(
        (
            "nosuchbucket",
            "bucket does not exist",
            "bucket not found",
            "nosuchcontainer",
            "containernotfound",
        ),
        "There is no such bucket. Check the path behind the remote's name.",
    ),
    _reason(
        (
            "insufficient storage",
            "quotaexceeded",
            "quota exceeded",
            "exceeded storage allocation",
        ),
        "The storage is full. Free some space there, then retry.",
    ),
    _reason(
        ("405 method not allowed", "statuscode: 405", "501 not implemented", "statuscode: 501"),
        "The storage does not allow this kind of request. It may be read-only or full, or the "
        "address of the remote may be wrong. Check it, then retry.",
    ),
    _reason(
        (
            "i/o timeout",
            "deadline exceeded",
            "connection timed out",
            "handshake timeout",
            "ttl expired",
            "requesttimeout",
            "request timeout",
            "timeout awaiting response",
        ),
        "The storage did not answer in time. Check the remote's address and the network.",
        retry_words="{storage} does not answer",
    ),
    _reason(
        (
            "connection reset",
            "connection aborted",
            "connection closed",
            "connection broken",
            "broken pipe",
            ": eof",
            "unexpected eof",
            "use of closed network connection",
            "connection lost",
            "server closed idle connection",
            "server sent goaway",
            "failed to send packet",
        ),
        "The connection to the storage was lost. Retry when the network is stable.",
        retry_words="The connection to {storage} broke",
    ),
    _reason(
        (
            "429 too many",
            "statuscode: 429",
            "toomanyrequests",
            "too many requests",
            "slowdown",
            "reduce your request rate",
            "ratelimitexceeded",
        ),
        "The storage received too many requests. Retry later with fewer parallel files.",
        retry_words="{storage} asks for fewer requests",
    ),
    _reason(
        (
            "internalerror",
            "internal error",
            *(f"statuscode: {code}" for code in (500, 502, 503, 504)),
            "500 internal server error",
            "502 bad gateway",
            "503 service",
            "504 gateway",
            "service unavailable",
            "service not available",
            "can't open data connection",
            "serverbusy",
            "temporarily unavailable",
        ),
        "The storage reported an internal error; it may be full or busy. Check it, then retry.",
        retry_words="{storage} failed",
    ),
    _reason(
        ("ssh_fx_failure",),
        "The storage reported an internal error; it may be full or busy. Check it, then retry.",
        one_file=True,
    ),
)
