"""Finds folders of a source that are links at the destination, between two folders of this machine.

rclone writes through such a link, wherever it leads. If that is another folder of the source, or of
the destination, two files become one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def linked_folder(source: str, destination: str) -> str | None:
    """Returns the path below both of the first such folder; None if there is none. It looks only at
    folders that both sides have."""
    both = [(Path(source), Path(destination))]
    while both:
        here, there = both.pop()
        with suppress(OSError), os.scandir(here) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    continue
                counterpart = there / entry.name
                if counterpart.is_symlink():
                    return str(counterpart.relative_to(destination))
                if counterpart.is_dir():
                    both.append((here / entry.name, counterpart))
    return None
