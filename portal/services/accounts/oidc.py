"""Talks to an OpenID Connect provider: authorization code flow with PKCE, state and nonce.

Authlib is an optional package, so it is imported where it is used.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from portal.errors import Forbidden, PortalError, Unavailable
from portal.runtime.context import current

log = structlog.get_logger(__name__)

#: Only signatures made with a private key: with HS256 or none, anybody could write an ID token.
_ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
_TIMEOUT = 10.0
_LEEWAY = 60
#: How long the provider's metadata is used before it is fetched again.
_CACHE_SECONDS = 3600.0
#: How long a person may take to sign in at the provider.
AUTHORIZATION_SECONDS = 600


@dataclass(frozen=True)
class Provider:
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: str
    name: str
    role_claim: str
    #: Maps values of the claim to roles; ``*`` matches everybody.
    roles: tuple[tuple[str, str], ...]
    #: The provider asks everybody for a second factor.
    second_factor: bool = False


class AuthorizationRequest(NamedTuple):
    """What the browser keeps while it is at the provider. It comes back with ``state``."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class IdTokenClaims(NamedTuple):
    """What the provider says about the person: the validated claims of the ID token and of the user
    info."""

    issuer: str
    subject: str
    claims: dict[str, Any]


class SignInRefused(Forbidden):
    """``reason`` is for the log and the audit trail; the person reads the message."""

    def __init__(self, reason: str) -> None:
        super().__init__("The sign-in was not completed. Start again from the sign-in page.")
        self.reason = reason


def authorization_url(provider: Provider, redirect_uri: str) -> tuple[str, AuthorizationRequest]:
    """Returns the address to send the browser to, and what it has to keep. Raises Unavailable."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    authorization = AuthorizationRequest(state, nonce, verifier, redirect_uri)
    endpoint = _metadata(provider)["authorization_endpoint"]
    with _client(provider, authorization) as client:
        url, _ = client.create_authorization_url(
            endpoint,
            state=authorization.state,
            nonce=authorization.nonce,
            code_verifier=authorization.verifier,
        )
    return str(url), authorization


def handle_callback(
    provider: Provider, authorization: AuthorizationRequest, sent: Mapping[str, str]
) -> IdTokenClaims:
    """Returns the claims of the person who came back with these arguments. Raises Refused and
    Unavailable."""
    if not secrets.compare_digest(sent.get("state", "").encode(), authorization.state.encode()):
        raise SignInRefused("wrong state")
    # RFC 9207: the answer may come from another provider, to which an attacker redirected the
    # browser.
    if sent.get("iss", provider.issuer) != provider.issuer:
        raise SignInRefused("answer of another issuer")
    if "error" in sent or not sent.get("code"):
        raise SignInRefused(f"the provider refused: {sent.get('error', 'no code')[:64]}")
    metadata = _metadata(provider)
    with _TranslatedErrors(), _client(provider, authorization) as client:
        token = client.fetch_token(
            metadata["token_endpoint"], code=sent["code"], code_verifier=authorization.verifier
        )
        claims = _claims(provider, authorization, token)
        claims = {**_user_info(client, metadata, claims["sub"]), **claims}
    return IdTokenClaims(provider.issuer, claims["sub"], claims)


def _claims(
    provider: Provider, authorization: AuthorizationRequest, token: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the claims of the ID token, after its signature, issuer, audience, times and nonce
    were checked."""
    from authlib.oidc.core import CodeIDToken
    from joserfc import jwt
    from joserfc.errors import InvalidKeyIdError
    from joserfc.jwk import KeySet
    from joserfc.jws import JWSRegistry

    def decoded(*, fresh: bool) -> Any:
        keys = KeySet.import_key_set(_keys(provider, fresh=fresh))
        registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
        return jwt.decode(token["id_token"], keys, registry=registry)

    if "id_token" not in token:
        raise SignInRefused("no ID token")
    try:
        read = decoded(fresh=False)
    except InvalidKeyIdError:  # the provider has changed its keys
        read = decoded(fresh=True)
    essential = {name: {"essential": True} for name in ("sub", "aud", "exp", "iat", "nonce")}
    claims = CodeIDToken(
        read.claims,
        read.header,
        {**essential, "iss": {"essential": True, "value": provider.issuer}},
        {
            "nonce": authorization.nonce,
            "client_id": provider.client_id,
            "access_token": token.get("access_token"),
        },
    )
    claims.validate(leeway=_LEEWAY)
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise SignInRefused("no usable subject")
    return dict(claims)


def _user_info(client: Any, metadata: Mapping[str, Any], subject: str) -> dict[str, Any]:
    if not (endpoint := metadata.get("userinfo_endpoint")):
        return {}
    answer = client.get(endpoint)
    answer.raise_for_status()
    user_info = answer.json()
    # Otherwise somebody's claims could be attributed to another subject.
    if not isinstance(user_info, dict) or user_info.get("sub") != subject:
        raise SignInRefused("user info of another subject")
    return user_info


# --- asking -------------------------------------------------------------------------------------


class _TranslatedErrors:
    """Turns errors of a request to the provider into words."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from authlib.common.errors import AuthlibBaseError
        from joserfc.errors import JoseError
        from requests import RequestException

        if error is None or isinstance(error, PortalError):
            return
        if isinstance(error, RequestException):
            log.warning("single sign-on: the provider does not answer", error=str(error))
            raise Unavailable(
                "The single sign-on provider is not responding. Try again in a moment."
            ) from None
        if isinstance(error, (AuthlibBaseError, JoseError, KeyError, ValueError, TypeError)):
            raise SignInRefused(f"{type(error).__name__}: {error}"[:200]) from None


class _Documents:
    """Caches the provider's documents by address, with the time when each was fetched."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[float, Any]] = {}


def _metadata(provider: Provider) -> dict[str, Any]:
    address = provider.issuer.rstrip("/") + "/.well-known/openid-configuration"
    metadata: dict[str, Any] = _document(address)
    if metadata.get("issuer") != provider.issuer:
        log.error(
            "single sign-on: PORTAL_OIDC_ISSUER is not what the provider calls itself",
            setting=provider.issuer,
            provider=str(metadata.get("issuer"))[:200],
        )
        raise Unavailable(
            "Single sign-on is not set up correctly. An admin can find details in the log."
        )
    return metadata


def _keys(provider: Provider, *, fresh: bool) -> Any:
    return _document(_metadata(provider)["jwks_uri"], fresh=fresh)


def _document(address: str, *, fresh: bool = False) -> Any:
    import requests

    known = current()[_Documents].known
    asked, document = known.get(address, (0.0, None))
    if document is None or fresh or time.monotonic() - asked > _CACHE_SECONDS:
        with _TranslatedErrors():
            answer = requests.get(address, timeout=_TIMEOUT)
            answer.raise_for_status()
            document = answer.json()
        known[address] = (time.monotonic(), document)
    return document


def _client(provider: Provider, authorization: AuthorizationRequest) -> Any:
    from authlib.integrations.requests_client import OAuth2Session

    methods = _metadata(provider).get("token_endpoint_auth_methods_supported", [])
    if not provider.client_secret:
        method = "none"
    elif "client_secret_post" in methods and "client_secret_basic" not in methods:
        method = "client_secret_post"
    else:
        method = "client_secret_basic"
    return OAuth2Session(
        provider.client_id,
        provider.client_secret or None,
        token_endpoint_auth_method=method,
        scope=provider.scopes,
        redirect_uri=authorization.redirect_uri,
        code_challenge_method="S256",
        default_timeout=_TIMEOUT,
    )
