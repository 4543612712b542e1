"""Sentences that say why a transfer must not begin."""

ONE_PLACE = (
    "The source and the destination are the same place under two names, or one lies inside the "
    "other: a marker file that was written to one of them was seen in the other. Nothing was "
    "done. Choose two folders, neither inside the other."
)
EMPTY_SOURCE = (
    "There is no file in the source (with these filters), so this sync would delete everything at "
    "the destination. Nothing was done. Check the source; if it is meant to be empty, tick “Allow "
    "an empty source”."
)
FILTERED_SYNC = (
    "A sync deletes what the source does not have, and a file that “Minimum age” or “Maximum size” "
    "leaves out there counts as such: its copy at the destination would be deleted. Nothing was "
    "done. Leave both fields empty, or choose a copy."
)
NOTHING_FOUND = "Nothing was found at {}. Check the path behind the remote's name."
NO_BUCKET = (
    "The destination names no bucket, container or share, so that each folder would become one. "
    "Nothing was done. Write the name of one after the colon."
)
LOOKS_ALIKE = (
    "Many folders of one end look just like the other end, and both are on the same machine. That "
    "none of them is the other end under another name could not be proven. Nothing was done. "
    "Choose two folders, neither inside the other."
)
SHARED_FOLDER = (
    "The folder “{}” of the source and the one of that path at the destination are the same place "
    "under two names: a marker file that was written to one of them was seen in the other. Nothing "
    "was done. Leave that folder out by a pattern, or choose another destination."
)
MAY_BE_SHARED = (
    "The folder “{}” of the source and the one of that path at the destination may be the same "
    "place under two names; and since it cannot be written to, the opposite cannot be proven. "
    "Nothing was done. Leave that folder out by a pattern, or choose another destination."
)
NOT_DELETED = (
    "Everything was copied, but the storage did not delete what it was told to: “{}” is still "
    "there, and perhaps others are. Allow the remote's user to delete files, or delete them "
    "yourself."
)
ALL_THERE = (
    "Every file is at the destination already, and both ends are on the same machine under "
    "different names. That they are two places could not be proven beyond doubt, so that nothing "
    "was deleted. Look at both, then delete the files at the source yourself."
)
_WRITTEN_INTO = (
    "The server is on this machine, and WebDAV writes into a file instead of replacing it: what is "
    "sent over “{}” there might overwrite a file of the source. Nothing was done. Give the "
    "destination's folder itself instead of the server, or use SFTP."
)
HARD_LINK = (
    "“{}” at the source has other names on this disk (hard links), and not all of them lie in the "
    f"source. {_WRITTEN_INTO}"
)
MANY_HARD_LINKS = (
    "More than {:,} files at the source have several names on this disk (hard links), too many to "
    f"find out whether all of them lie in the source. {_WRITTEN_INTO}"
)
LINKED_FOLDER = (
    "The folder {} of the source is a link at the destination, so that its files would be written "
    "wherever that leads. Nothing was done. Remove the link, or make it a folder."
)
LINKED_MEANWHILE = (
    "The folder {} at the destination has become a link, so that files were written wherever that "
    "leads. The transfer was stopped. Make it a folder again, compare both ends, then retry."
)
