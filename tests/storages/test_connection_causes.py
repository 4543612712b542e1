"""Test connection names the cause, and says what to do: with real servers where there are any, else
with the answers that the services give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal import engine
from portal.engine.failures.exit_codes import cause_of, is_retryable, reason_for
from portal.services.storage import connections
from tests.storages.certificates import locked_key, make_certificate, rsa_key, ssh_key
from tests.storages.strangers import answering, azure_error, s3_error, saying
from tests.support.storages import PASSWORD, Storage

CREDENTIALS = "The storage did not accept the credentials."
CLOCKS = "The clocks of this machine and of the storage differ too much."
BROKEN_OFF = "The server broke the connection off."
FORBIDDEN = "The storage does not allow this with these credentials."
REGION = "The bucket lies in another region."
NO_SUCH_STORAGE = "Something answers there, but it is not "

Look = Callable[..., str]


def ftp(port: int, **more: str) -> dict[str, str]:
    return {"host": "127.0.0.1", "port": str(port), "user": "bob", "pass": PASSWORD, **more}


def s3(port: int, scheme: str = "http", **more: str) -> dict[str, str]:
    keys = {"access_key_id": "KEYID", "secret_access_key": "secret", **more}
    return {"provider": "Other", "endpoint": f"{scheme}://127.0.0.1:{port}", **keys}


def webdav(port: int, scheme: str = "http", **more: str) -> dict[str, str]:
    return {"url": f"{scheme}://127.0.0.1:{port}", "user": "bob", "pass": PASSWORD, **more}


def azure(port: int, **more: str) -> dict[str, str]:
    key = {"account": "examplestorage", "key": "c2VjcmV0", **more}
    return {"endpoint": f"http://127.0.0.1:{port}/examplestorage", **key}


# --- the right address, and something is wrong with what was typed --------------------------------


@pytest.mark.parametrize("kind", ["s3", "sftp", "webdav", "ftp"])
def test_wrong_secret(storages: Callable[[str], Storage], verdict_on: Look, kind: str) -> None:
    storage = storages(kind)
    assert verdict_on(kind, storage.options() | storage.wrong()).startswith(CREDENTIALS)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("passphrase missing", "The private key has a passphrase."),
        ("passphrase wrong", "The passphrase does not open the private key."),
        ("damaged", "The private key is damaged or not complete."),
        ("cut off", "The private key is damaged or not complete."),
        ("of somebody else", CREDENTIALS),
    ],
)
def test_private_key_that_opens_nothing(
    storages: Callable[[str], Storage], verdict_on: Look, key: str, said: str
) -> None:
    locked = locked_key("geheim")
    plain, _ = ssh_key()
    lines = plain.strip().splitlines()
    typed = {
        "passphrase missing": {"key_pem": locked},
        "passphrase wrong": {"key_pem": locked, "key_file_pass": "something else"},
        "damaged": {"key_pem": "\n".join([lines[0], "AAAB" + lines[1][4:], *lines[2:]])},
        "cut off": {"key_pem": "\n".join([*lines[:2], lines[-1]])},
        "of somebody else": {"key_pem": plain},
    }[key]
    options = storages("sftp").options() | typed
    if "key_pem" in typed:
        del options["pass"]
    assert verdict_on("sftp", options).startswith(said)


def test_pinned_host_key_of_another_server(
    storages: Callable[[str], Storage], verdict_on: Look
) -> None:
    _, public = ssh_key()
    said = verdict_on("sftp", storages("sftp").options(host_keys=public))
    assert said.startswith("The server's host key is not the pinned one.")


@pytest.mark.parametrize(
    ("kind", "start", "said"),
    [
        ("s3", "nothing-here", "It answers, but there is no bucket “nothing-here”."),
        ("s3", "nothing/here", "It answers, but there is no folder “nothing/here”."),
        ("sftp", "nothing", "It answers, but there is no folder “nothing”."),
        ("ftp", "nothing", "It answers, but there is no folder “nothing”."),
        ("webdav", "nothing/here", "It answers, but there is no folder “nothing/here”."),
    ],
)
def test_nothing_there(
    storages: Callable[[str], Storage], verdict_on: Look, kind: str, start: str, said: str
) -> None:
    assert verdict_on(kind, storages(kind).options(), start).startswith(said)


# --- something else answers there -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), [("webdav", webdav), ("s3", s3), ("azureblob", azure)]
)
def test_web_page_that_says_yes_to_everything(verdict_on: Look, kind: str, options: Any) -> None:
    """An empty list out of nothing would be green."""
    with answering(200, "<html><body>Please sign in</body></html>") as port:
        assert verdict_on(kind, options(port)).startswith(NO_SUCH_STORAGE)


def test_web_page_where_a_container_should_be(verdict_on: Look) -> None:
    with answering(200, "<html/>") as port:
        said = verdict_on("azureblob", azure(port), "c")
    assert said.startswith("What answers there makes no sense to rclone.")


@pytest.mark.parametrize("kind", ["s3", "webdav", "ftp"])
def test_empty_storage_is_green(verdict_on: Look, tmp_path: Path, kind: str) -> None:
    with Storage(kind, tmp_path / "empty") as storage:
        assert verdict_on(kind, storage.options()).startswith("Works: found 0 entries in ")


@pytest.mark.parametrize(
    ("status", "body", "kind", "options", "said"),
    [
        (405, "<html/>", "webdav", webdav, "What answers at this address is no WebDAV."),
        (404, "<html/>", "webdav", webdav, "A server answers, but has nothing at this address."),
        (302, "", "webdav", webdav, "The server redirects every request"),
        (403, "<html/>", "webdav", webdav, FORBIDDEN),
        (401, "<html/>", "webdav", webdav, CREDENTIALS),
        (404, "<html/>", "s3", s3, "What answers at this address is no S3 service."),
    ],
)
def test_web_server_that_is_no_storage(
    verdict_on: Look, status: int, body: str, kind: str, options: Any, said: str
) -> None:
    with answering(status, body) as port:
        assert verdict_on(kind, options(port)).startswith(said)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("webdav", webdav, "What answers at this port does not speak HTTP."),
        ("s3", s3, "What answers at this port does not speak HTTP."),
        ("smb", ftp, "What answers at this port does not speak SMB."),
    ],
)
def test_port_of_ssh(verdict_on: Look, kind: str, options: Any, said: str) -> None:
    with saying(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert verdict_on(kind, options(port)).startswith(said)


@pytest.mark.parametrize(
    ("kind", "options"), [("ftp", ftp), ("sftp", ftp), ("webdav", webdav), ("smb", ftp), ("s3", s3)]
)
def test_server_that_hangs_up_at_once(verdict_on: Look, kind: str, options: Any) -> None:
    with saying(b"", hang_up=True) as port:
        assert verdict_on(kind, options(port)).startswith(BROKEN_OFF)


def test_server_that_accepts_and_says_nothing(verdict_on: Look) -> None:
    with saying(b"") as port:
        said = verdict_on("sftp", ftp(port))
    assert said.startswith("Something accepts the connection, but does not answer.")


@pytest.mark.parametrize(
    ("kind", "options"), [("ftp", ftp), ("sftp", ftp), ("webdav", webdav), ("smb", ftp)]
)
def test_nobody_listens(verdict_on: Look, kind: str, options: Any) -> None:
    assert verdict_on(kind, options(1)).startswith("The storage's server refuses the connection.")


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "options"), [("webdav", webdav), ("s3", s3)])
def test_tls_to_a_server_that_has_none_and_the_reverse(
    storages: Callable[[str], Storage], verdict_on: Look, tmp_path: Path, kind: str, options: Any
) -> None:
    said = verdict_on(kind, options(storages(kind).port, "https"))
    assert said.startswith("The server speaks HTTP without TLS at this port.")
    with answering(404, "<html/>", certificate=make_certificate(tmp_path)) as port:
        assert verdict_on(kind, options(port)).startswith(BROKEN_OFF)


@pytest.mark.parametrize(("kind", "options"), [("webdav", webdav), ("s3", s3)])
def test_certificate_that_nobody_vouches_for(
    verdict_on: Look, tmp_path: Path, kind: str, options: Any
) -> None:
    with answering(404, "<html/>", certificate=make_certificate(tmp_path)) as port:
        said = verdict_on(kind, options(port, "https"))
    assert said.startswith("The server's certificate comes from an authority that this machine")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("explicit_tls", "The server does not support explicit TLS."),
        ("tls", "The server does not begin with TLS at this port."),
    ],
)
def test_ftp_server_without_tls(
    storages: Callable[[str], Storage], verdict_on: Look, option: str, said: str
) -> None:
    options = storages("ftp").options(**{option: "true"})
    assert verdict_on("ftp", options).startswith(said)


# --- services that nobody can run here ------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "start", "said"),
    [
        (403, s3_error("RequestTimeTooSkewed"), "b", CLOCKS),
        (301, s3_error("PermanentRedirect"), "b", REGION),
        (
            400,
            s3_error("AuthorizationHeaderMalformed", "the region 'a' is wrong; expecting 'b'"),
            "b",
            REGION,
        ),
        (403, s3_error("InvalidAccessKeyId"), "", CREDENTIALS),
        (403, s3_error("SignatureDoesNotMatch"), "", CREDENTIALS),
        (403, s3_error("AccessDenied"), "", "These credentials cannot list all buckets."),
        (403, s3_error("AccessDenied"), "b", FORBIDDEN),
        (404, s3_error("NoSuchBucket"), "b", "It answers, but there is no bucket “b”."),
    ],
)
def test_what_amazon_says(verdict_on: Look, status: int, body: str, start: str, said: str) -> None:
    with answering(status, body) as port:
        assert verdict_on("s3", s3(port), start).startswith(said)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, azure_error("AuthenticationFailed", "Request date header too old: 'x'"), CLOCKS),
        (403, azure_error("AuthenticationFailed"), CREDENTIALS),
        (403, azure_error("AuthorizationFailure"), "Azure did not accept account and key"),
        (
            403,
            azure_error("AuthenticationFailed", "Signature not valid in the specified time frame"),
            "The SAS address has expired",
        ),
        (403, azure_error("AuthorizationPermissionMismatch"), FORBIDDEN),
        (403, azure_error("KeyBasedAuthenticationNotPermitted"), "The storage account does not"),
        (400, azure_error("InvalidQueryParameterValue"), "This is no address of a storage"),
        (404, azure_error("ContainerNotFound"), "It answers, but there is no container “c”."),
    ],
)
def test_what_azure_says(verdict_on: Look, status: int, body: str, said: str) -> None:
    with answering(status, body) as port:
        assert verdict_on("azureblob", azure(port), "c").startswith(said)


def test_key_of_azure_that_is_cut_off(verdict_on: Look) -> None:
    said = verdict_on("azureblob", azure(1, key="not a key at all"))
    assert said.startswith("The key is damaged or not complete.")


@pytest.mark.parametrize("words", ["bad_auth_token", "unauthorized"])
def test_what_backblaze_says(verdict_on: Look, words: str) -> None:
    body = json.dumps({"status": 401, "code": words, "message": "invalid keyId"})
    with answering(401, body) as port:
        options = {"account": "K001", "key": "0012", "endpoint": f"http://127.0.0.1:{port}"}
        said = verdict_on("b2", options)
    assert said.startswith("Backblaze did not accept the key. Check “keyID” and “applicationKey”")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable", CLOCKS),
        ("Invalid grant: account not found", "Google no longer knows this key."),
        ("Invalid JWT Signature.", "Google no longer knows this key."),
        ("something else", CREDENTIALS),
    ],
)
def test_what_google_says_of_a_key(error: str, said: str) -> None:
    """A remote's key asks Google's own server and no other, so that no form makes this one."""
    body = json.dumps({"error": "invalid_grant", "error_description": error})
    with answering(400, body) as port:
        assert _google(token_uri=f"http://127.0.0.1:{port}/").startswith(said)


def test_key_of_google_that_is_damaged() -> None:
    damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert _google(private_key=damaged).startswith("The key of the service account is damaged.")


def _google(**changed: str) -> str:
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key": rsa_key(),
        "client_email": "a@p.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:1/",
    }
    key = {"service_account_credentials": json.dumps(account | changed)}
    remote = engine.Remote("nas", "google cloud storage", key)
    found = engine.list_folder(engine.rclone_path(None), remote, "bucket", seconds=20)
    return str(found.problem)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, "x does not have storage.buckets.list access to the project.", "These credentials"),
        (403, "x does not have storage.objects.list access to the bucket.", FORBIDDEN),
        (400, "Required parameter: project", "Without a project, Google lists no buckets."),
        (403, "Cloud Storage API has not been used in project 1 before", "Cloud Storage or its"),
    ],
)
def test_what_google_says_of_a_bucket(verdict_on: Look, status: int, body: str, said: str) -> None:
    error = json.dumps({"error": {"code": status, "message": body}})
    with answering(status, error) as port:
        options = {"anonymous": "true", "endpoint": f"http://127.0.0.1:{port}/storage/v1/"}
        assert verdict_on("gcs", options | {"project_number": "1"}).startswith(said)


def test_google_without_a_project(verdict_on: Look) -> None:
    options = {"anonymous": "true", "endpoint": "http://127.0.0.1:1/storage/v1/"}
    assert verdict_on("gcs", options).startswith("Without a project, Google lists no buckets.")


# --- words alone ----------------------------------------------------------------------------------


NEEDS_TLS = "The server requires TLS."
KNOWS_NO_TLS = "The server does not support explicit TLS."
WANTS_TLS = "The server wants TLS. Begin the address with https://."
FTP = 'NewFs: failed to make FTP connection to "nas:21": '
SSH = "NewFs: couldn't connect SSH: ssh: handshake failed: "
X509 = "tls: failed to verify certificate: x509: certificate "
DAV = "error listing: couldn't list files: "


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f'{FTP}550 "SSL/TLS required on the control channel"', NEEDS_TLS),  # ProFTPD
        (f'{FTP}530 "Non-anonymous sessions must use encryption."', NEEDS_TLS),  # vsftpd
        (f'{FTP}503 "Use AUTH first."', NEEDS_TLS),  # FileZilla
        (f'{FTP}534 "Policy requires SSL."', NEEDS_TLS),  # IIS
        (f'{FTP}530 "Please login with USER and PASS."', KNOWS_NO_TLS),  # vsftpd
        (f'{FTP}502 "Command not implemented."', KNOWS_NO_TLS),
        (f'{FTP}530 "Login incorrect."', CREDENTIALS),
        (f"{SSH}ssh: unexpected message type 51 (expected 60)", CREDENTIALS),  # without PAM
        (
            "NewFs: couldn't initialise SFTP: ssh: subsystem request failed",
            "The server accepts the",
        ),
        ("couldn't connect SMB: account is currently locked out", "The account on the server is"),
        (f"{DAV}Client sent an HTTP request to an HTTPS server.: 400 Bad Request", WANTS_TLS),
        (f"{DAV}400 The plain HTTP request was sent to HTTPS port", WANTS_TLS),
        (
            f"{DAV}readLoopPeekFailLocked: %!w(<nil>)",
            "What answers at this port does not speak HTTP.",
        ),
        (f"{DAV}Unsolicited response received on idle HTTP channel", "What answers at this port"),
        (f"{X509}is valid for a.example.org, not nas", "The server's certificate is for another"),
        (f"{X509}has expired or is not yet valid", "The server's certificate has expired, or this"),
        ("lookup examplestorag.blob.core.windows.net: no such host", "There is no storage account"),
        ("dial tcp 203.0.113.9:445: i/o timeout", "Nothing answers at this address and port."),
    ],
)
def test_words_of_servers_that_nobody_runs_here(line: str, said: str) -> None:
    assert str(cause_of([line])).startswith(said)


def test_connection_with_tls_that_breaks_is_no_matter_of_certificates() -> None:
    """As FTP with TLS says it of a server that was killed in mid-transfer."""
    write = "write tcp 10.0.0.2:4->10.0.0.1:5: write: broken pipe"
    close = "tls: failed to send closeNotify alert (but connection was closed anyway)"
    line = f"Failed to copy: update stor: 2 errors occurred:\n\t* {write}\n\t* {close}"
    assert reason_for(1, False, [line]).startswith("The connection to the storage was lost.")
    assert is_retryable(1, False, [line])


def test_words_that_are_not_known_are_repeated_without_secrets(verdict_on: Look) -> None:
    with answering(418, f"I am a teapot, and your password is {PASSWORD}") as port:
        said = verdict_on("webdav", webdav(port))
    assert said.startswith("The test failed. rclone says: couldn't list files: ")
    assert "418" in said
    assert PASSWORD not in said
    assert "***" in said


def test_what_is_not_known_is_repeated_by_browsing_too(
    browser: Callable[..., Any], new_remote: Any
) -> None:
    with answering(418, "I am a teapot") as port:
        new_remote("tea", "webdav", webdav(port))
        page = browser("bob").get("/browse?at=tea:")
    assert "It failed. rclone says: couldn&#39;t list files" in page.text


def test_a_question_that_was_cut_names_its_time(
    monkeypatch: pytest.MonkeyPatch, verdict_on: Look
) -> None:
    monkeypatch.setattr(connections, "TIMEOUT", 1.0)
    with saying(b"") as port:
        said = verdict_on("s3", s3(port))
    assert said.startswith("There was no answer within 1 s.")
