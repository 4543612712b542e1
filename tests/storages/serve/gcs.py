"""A server of Google Cloud Storage: `gcs.py PORT`, by gcp-storage-emulator, in memory.

Mended is that it writes the names of objects into addresses without encoding them, and the list of
all objects to its file anew for each of them. Run by the Python of the storages' environment.
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

from gcp_storage_emulator import storage
from gcp_storage_emulator.__main__ import main
from gcp_storage_emulator.handlers import objects

_make = objects._make_object_resource


def make(*arguments: Any, **named: Any) -> Any:
    made = _make(*arguments, **named)
    before, _, after = made["mediaLink"].partition("/o/")
    name, _, query = after.rpartition("?")
    made["mediaLink"] = f"{before}/o/{quote(name, safe='')}?{query}"
    return made


if __name__ == "__main__":
    objects._make_object_resource = make
    storage.Storage._write_config_to_file = lambda _: None
    main(["start", "--quiet", "--in-memory", "--host", "127.0.0.1", "--port", sys.argv[1]])
