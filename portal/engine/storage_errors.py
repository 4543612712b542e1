"""What storages elsewhere say when something is wrong, and what that means for a person."""

from __future__ import annotations

import re

_SAID: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("not allowed by ruleset",),
        "The storage leads to the portal's own machine, or to a service that only it can see.",
    ),
    (
        (
            "no such host",
            "server misbehaving",
        ),
        "The name of the storage's server is not known. Check the remote's address.",
    ),
    (
        ("connection refused",),
        "The storage's server refuses the connection. Check the remote's address and port.",
    ),
    (
        ("ssh-agent", "ssh agent"),
        "The remote has neither a password nor a key. Give it one.",
    ),
    (
        (
            "no route to host",
            "network is unreachable",
            "host unreachable",
            "network unreachable",
        ),
        "The storage's server cannot be reached from here. Check the network and the firewall.",
    ),
    (
        (
            "host key mismatch",
            "knownhosts: ",
            "host key is not",
        ),
        "The server's host key is not the pinned one. Find out why before you change the remote.",
    ),
    (
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
    (
        (
            "accessdenied",
            "access denied",
            "403 forbidden",
            "statuscode: 403",
            "insufficient permission",
        ),
        "The storage does not allow this with these credentials. Check what they may do there.",
    ),
    (
        (
            "x509: ",
            "tls: ",
            "server gave http response to https client",
            "malformed http response",
        ),
        "No safe connection could be made. Check the remote's address and certificate.",
    ),
    (
        (
            "nosuchbucket",
            "bucket does not exist",
            "bucket not found",
            "invalidbucketname",
            "nosuchcontainer",
            "containernotfound",
        ),
        "There is no such bucket. Check the path behind the remote's name.",
    ),
    (
        (
            "insufficient storage",
            "quotaexceeded",
            "quota exceeded",
            "exceeded storage allocation",
        ),
        "The storage has no room left. Free some there, then retry.",
    ),
    (
        (
            "i/o timeout",
            "deadline exceeded",
            "connection timed out",
            "handshake timeout",
            "ttl expired",
        ),
        "The storage did not answer in time. Check the remote's address and the network.",
    ),
    (
        (
            "connection reset",
            "broken pipe",
            "unexpected eof",
            "use of closed network connection",
            "connection lost",
        ),
        "The connection to the storage broke. Retry when it is stable.",
    ),
    (
        (
            "internalerror",
            "statuscode: 500",
            "statuscode: 503",
            "500 internal server error",
            "503 service",
            "ssh_fx_failure",
        ),
        "The storage itself failed; it may be full or busy. Look at it, then retry.",
    ),
)

#: Pattern and sentence, the particular first. Looked for without regard to case.
STORAGE_ERRORS = tuple(("|".join(map(re.escape, said)), sentence) for said, sentence in _SAID)
