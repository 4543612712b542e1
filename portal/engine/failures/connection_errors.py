"""Messages of storages when no connection comes about, and what to do about them.

Each pattern was seen with a real server, or is the recorded answer of a service that nobody can run
here: tests/storages/test_connection_causes.py. None of these passes by itself.
"""

from __future__ import annotations

from portal.engine.failures.reasons import KnownReason

_CREDENTIALS = (
    "The storage did not accept the credentials. Check the remote's user, keys or password."
)
_CLOCKS = (
    "The clocks of this machine and of the storage differ too much. Correct this machine's clock."
)
_FORBIDDEN = "The storage does not allow this with these credentials. Check what they may do there."

#: The particular first. Looked for before ``STORAGE_ERRORS``, whose patterns are wider.
CONNECTION_ERRORS: tuple[KnownReason, ...] = (
    # --- clocks ---
    KnownReason(
        r"requesttimetooskewed|request date header too old|short-lived token \(60 minutes\)",
        _CLOCKS,
    ),
    # --- FTP ---
    KnownReason(
        r"ssl/tls required|must use encryption|policy requires ssl|use auth (tls|first)"
        r"|(tls|ssl|encryption|secure connection)( is)? required|cleartext sessions are not",
        "The server requires TLS. Turn on “Explicit TLS” in the remote.",
    ),
    KnownReason(
        r"failed to make ftp connection[^\n]*: "
        r"(50[0-4] |530 \"?please log|550 \"?action not taken)",
        "The server does not support explicit TLS. Have it enabled there; on a network you "
        "trust, turn off “Explicit TLS” in the remote.",
    ),
    KnownReason(
        r"failed to make ftp connection[^\n]*tls: first record does not look like a tls handshake",
        "The server does not begin with TLS at this port. Tick “Explicit TLS” instead of "
        "“Implicit TLS” in the remote, or give the port for implicit TLS (usually 990).",
    ),
    KnownReason(r"(^|: |\* )530 [\"a-z]", _CREDENTIALS),
    KnownReason(
        r"421 \"?[^\n]*(too many|maximum)",
        "The server allows fewer connections at a time. Lower “Concurrency” in the remote.",
        is_retryable=True,
        retry_words="{storage} has too many connections",
    ),
    KnownReason(
        r"501 \"?no such directory",
        "The server says in an unusual way that a folder is missing, so rclone takes it for an "
        "error. Make the folder first, or tick “Disable MLSD” in the remote.",
    ),
    # --- SFTP ---
    KnownReason(
        r"this private key is passphrase protected",
        "The private key has a passphrase. Type it into “Passphrase of the key”.",
    ),
    KnownReason(
        r"decryption password incorrect",
        "The passphrase does not open the private key. Type it again.",
    ),
    KnownReason(
        r"failed to parse private key",
        "The private key is damaged or not complete. Paste all of it, from the line BEGIN to the "
        "line END.",
    ),
    KnownReason(
        r"couldn't parse host_keys",
        "The pinned host key is not complete. Paste algorithm and key as ssh-keyscan prints them.",
    ),
    KnownReason(r"unexpected message type 51 \(expected 60\)", _CREDENTIALS),
    KnownReason(
        r"subsystem request failed",
        "The server accepts the user but does not offer SFTP. Enable it there.",
    ),
    KnownReason(
        r"no common algorithm for host key",
        "The server has no host key of the pinned kind any more. Ask whoever runs it for the "
        "fingerprint of the new key; an admin can then accept it on the remote's page.",
    ),
    KnownReason(
        r"no common algorithm",
        "The server and rclone share no encryption method. Update the server's SSH.",
    ),
    # --- SMB ---
    KnownReason(
        r"couldn't initialize smb[^\n]*(file does not exist|network name|share name)",
        "There is no such share. The path must begin with the name of a share.",
    ),
    KnownReason(
        r"account is currently (disabled|locked out)|account has been (disabled|locked)"
        r"|password (of this user )?(has expired|must be changed)|account has expired",
        "The account on the server is locked, disabled or needs a new password.",
    ),
    KnownReason(
        r"couldn't connect smb[^\n]*(invalid transport format|invalid response format)",
        "What answers at this port does not speak SMB. Check the port (usually 445).",
    ),
    # --- S3 ---
    KnownReason(
        r"permanentredirect|movedpermanently|authorizationheadermalformed[^\n]*region"
        r"|illegallocationconstraint|is not in region|statuscode: 301",
        "The bucket lies in another region. Set “Region” in the remote, and an “Endpoint” of that "
        "region.",
    ),
    KnownReason(
        r"static credentials are empty|failed to (retrieve|refresh cached) credentials",
        "The remote has no access key. Enter “Access key ID” and “Secret access key”.",
    ),
    KnownReason(
        r"listbuckets, [^\n]*statuscode: (404|405|501)",
        "What answers at this address is no S3 service. Check “Endpoint”.",
    ),
    KnownReason(
        r"bucketalreadyexists|bucket name is not available|bucket name is already in use",
        "Someone else already has a bucket with this name. Choose another.",
    ),
    KnownReason(
        r"invalidbucketname|specified bucket is not valid|error code: invalidresourcename"
        r"|invalid bucket name",
        "A bucket cannot have this name. Use 3 to 63 lowercase letters, digits and dashes.",
    ),
    # --- Azure ---
    KnownReason(
        r"signature not valid in the specified time frame",
        "The SAS address has expired, or is not valid yet. Make a new one in the Azure portal.",
    ),
    KnownReason(
        r"decode account key",
        "The key is damaged or not complete. Copy all of key1 or key2 from the Azure portal.",
    ),
    KnownReason(
        r"lookup [a-z0-9-]+\.blob\.core\.windows\.net[^\n]*no such host",
        "There is no storage account of this name. Check “Storage account” in the remote.",
    ),
    KnownReason(
        r"keybasedauthenticationnotpermitted|publicaccessnotpermitted",
        "The storage account does not allow this sign-in method. Use a SAS address or another key.",
    ),
    KnownReason(
        r"error code: authorizationfailure",
        "Azure did not accept account and key, or its network rules block this machine. "
        "Check the remote, and the storage account's networking.",
    ),
    KnownReason(
        r"error code: (invalidqueryparametervalue|invaliduri|outofrangeinput)",
        "This is no address of a storage account. Leave “Endpoint” empty, or write one such as "
        "https://account.blob.core.windows.net.",
    ),
    # --- Google ---
    KnownReason(
        r"can't list buckets without project|required parameter: project",
        "Without a project, Google lists no buckets. Enter the “Project number”, or put a bucket "
        "into “Start folder”.",
    ),
    KnownReason(
        r"private key should be a pem|error processing credentials|could not parse (json|key)",
        "The key of the service account is damaged. Paste its whole JSON file again.",
    ),
    KnownReason(
        r"account not found|invalid jwt signature|account has been deleted",
        "Google no longer knows this key. Create a new key for the service account.",
    ),
    KnownReason(
        r"could not find default credentials",
        "The remote has no key. Paste the JSON key of a service account, or tick “Anonymous”.",
    ),
    KnownReason(
        r"accessnotconfigured|api has not been used in project|billing account [^\n]*disabled",
        "Cloud Storage or its billing is switched off in this Google project. Switch it on there.",
    ),
    KnownReason(r"googleapi: error 403|does not have storage\.", _FORBIDDEN),
    # --- Backblaze ---
    KnownReason(
        r"failed to authorize account[^\n]*(\(40[013] |bad_auth_token)",
        "Backblaze did not accept the key. Check “keyID” and “applicationKey”: both are shown when "
        "an application key is made.",
    ),
    # --- HTTP, WebDAV ---
    KnownReason(r"couldn't list files: 401|401 not authorized", _CREDENTIALS),
    KnownReason(
        r"couldn't list files: (405|501) ",
        "What answers at this address is no WebDAV. Write the whole address, such as "
        "https://cloud.example.org/remote.php/dav/files/bob.",
    ),
    KnownReason(
        r"stopped after 10 redirects",
        "The server redirects every request, perhaps to a sign-in page. Check the address.",
    ),
    KnownReason(
        r"server gave http response to https client",
        "The server speaks HTTP without TLS at this port. Give the port of HTTPS; in a network "
        "that you trust, begin the address with http://.",
    ),
    KnownReason(
        r"http request (was sent )?to (an? )?https|malformed http response \"\\x15\\x03",
        "The server wants TLS. Begin the address with https://.",
    ),
    KnownReason(
        # Go's words where the server speaks first, by which of two threads is the first to see it.
        r"malformed http response|readlooppeekfaillocked|unsolicited response received",
        "What answers at this port does not speak HTTP. Check the address and its port.",
    ),
    # --- certificates ---
    KnownReason(
        r"certificate signed by unknown authority|certificate is not trusted",
        "The server's certificate comes from an authority that this machine does not know. Have "
        "that authority installed on the portal's machine; for FTP, “Accept any certificate” in "
        "the remote goes without.",
    ),
    KnownReason(
        r"certificate is valid for|doesn't contain any (ip|dns) sans|not valid for any names",
        "The server's certificate is for another name. Use the name that it gives.",
    ),
    KnownReason(
        r"certificate has expired or is not yet valid",
        "The server's certificate has expired, or this machine's clock is wrong.",
    ),
    KnownReason(
        r"first record does not look like a tls handshake",
        "The server does not speak TLS at this port. Check the port; in a network that you trust, "
        "begin the address with http://.",
    ),
)

#: The meaning of such messages after a short question, which rclone sends only once.
FIRST_CONTACT: tuple[KnownReason, ...] = (
    KnownReason(
        r"listbuckets[^\n]*accessdenied|storage\.buckets\.list access",
        "These credentials cannot list all buckets. If they can use one, put it into "
        "“Start folder”.",
    ),
    KnownReason(
        r"dial tcp[^\n]*(i/o timeout|connection timed out)",
        "Nothing answers at this address and port. Check both, and the firewall.",
    ),
    KnownReason(
        r"connection reset|broken pipe|: eof",
        "The server broke the connection off. Check the port, and whether the server wants TLS (an "
        "address of https://) or none. If it worked before, try again.",
    ),
    KnownReason(
        r"i/o timeout|timeout awaiting response|deadline exceeded",
        "Something accepts the connection, but does not answer. Check the port and the firewall. "
        "If it worked before, try again.",
    ),
)
