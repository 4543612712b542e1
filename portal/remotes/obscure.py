"""rclone's own form of passwords. It hides nothing, its key is in rclone's source: rclone takes
passwords in no other form."""

from __future__ import annotations

import base64
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# As published in fs/config/obscure of rclone: AES-CTR, the first block being the counter's start.
_KEY = bytes.fromhex("9c935b48730a554d6bfd7c63c886a92bd390198eb8128afbf4de162b8b95f638")
_BLOCK = 16


def obscure(password: str) -> str:
    begin = os.urandom(_BLOCK)
    writer = Cipher(algorithms.AES(_KEY), modes.CTR(begin)).encryptor()
    hidden = writer.update(password.encode()) + writer.finalize()
    return base64.urlsafe_b64encode(begin + hidden).decode().rstrip("=")
