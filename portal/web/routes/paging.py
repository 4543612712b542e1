"""The page number of a list."""

from flask import request

from portal.errors import NotFound


def page_number() -> int:
    """Returns ``?page=``, from 1. Answers 404 for anything else."""
    text = request.args.get("page", "1")
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9 and int(text) >= 1):
        raise NotFound("There is no such page of this list.")
    return int(text)
