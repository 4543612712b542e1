"""Names of the pools of workers."""

from __future__ import annotations

import re

#: The pool of jobs that name none.
DEFAULT_POOL = "default"
POOL_LENGTH = 64
POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
