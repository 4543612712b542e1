"""An order, the command line that it becomes, and the environment of that command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from portal.engine import partials
from portal.engine.errors import EngineError
from portal.engine.markers import PREFIX, RULE
from portal.engine.order import flags
from portal.engine.order.comparison import Comparison
from portal.engine.order.remotes import Remote, beginning, variables
from portal.engine.order.runtime_dir import RuntimeDir
from portal.engine.output.plan import ConfirmedPlan
from portal.engine.output.samples import NO_SAMPLES, Samples
from portal.engine.process.binary import SEARCH_PATH
from portal.engine.process.processes import process_identity
from portal.transfers.options import Options

OPERATIONS = ("copy", "sync", "move", "check")
#: Removes partial files. The portal itself uses this operation; nobody can order it.
TIDY = "delete"
#: Storages of objects, to which a folder is a part of a name.
_WITHOUT_FOLDERS = frozenset({"s3", "google cloud storage", "b2", "azureblob", "swift"})


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """One execution of a job. Source and destination are absolute local paths, already confined to
    the roots, or `name:path` of one of the remotes. The bandwidth limit is a rate, or a timetable
    from which `Run` takes the rate of the moment."""

    job_id: int
    attempt: int
    operation: str
    source: str
    destination: str
    bandwidth_limit: str | None
    dry_run: bool
    remotes: tuple[Remote, ...] = ()
    options: Options = field(default_factory=Options)
    #: The deletions that a person has confirmed.
    confirmed: ConfirmedPlan | None = None
    #: Older files at the destination that a move within one storage deletes before it renames new
    #: ones to their names.
    replaces: int = 0
    #: Files of a move, and their sizes, that an earlier try has copied and not removed.
    stayed: Mapping[str, int] = field(default_factory=dict)
    #: Both ends are folders of this machine, between which no file can be renamed.
    across_mounts: bool = False
    #: By what files are compared; of one that was not examined, as its options say.
    comparison: Comparison | None = None
    #: The destination takes names that differ by case for one, and rclone does not know.
    folds_case: bool = False
    #: At the destination, names that differ only by the form of an accent are two names.
    keeps_accents: bool = False
    #: The source is known to be one file, to which no rule about names may be given.
    single: bool = False
    #: The number of a marker that a dry run looks for; without it all markers are left out.
    looks_for: str | None = None
    #: Names that a dry run looks for in the depths of both ends.
    samples: Samples = NO_SAMPLES
    #: A check then ignores files that only the destination has.
    one_way: bool = False
    #: The name of the one file of the source that is meant; None for all of them.
    only: str | None = None
    #: Other jobs that this one tries again; none of them lives.
    earlier: tuple[int, ...] = ()
    #: Tells this portal from others that write to the same storage.
    portal: str = ""
    #: False for a destination that was found unable to hold the modes of files.
    modes: bool = True
    #: rclone reads ahead no whole MiB, which it would count at once: its speed follows each change
    #: of a low limit within a moment.
    in_small_pieces: bool = False

    @property
    def partial_suffix(self) -> str:
        """The end of the names of files that this attempt has not finished."""
        return partials.suffix(partials.tag(self.job_id, self.portal), self.attempt)

    @property
    def partial_patterns(self) -> list[str]:
        """Patterns of the partial files of all its attempts, and of the jobs that it retries."""
        jobs = (self.job_id, *self.earlier)
        return [partials.pattern_of(partials.tag(job, self.portal)) for job in jobs]

    @property
    def is_copied_first(self) -> bool:
        """Whether it is a move that rclone only copies: the portal removes the files of the source,
        see ``moved_files``. rclone would not notice each that was saved while it travelled. Within
        one disk of this machine nothing travels: files are renamed."""
        if self.operation != "move" or not self.moves or self.local_source is None:
            return False
        return self.comparison is not None and (self.across_mounts or not self.is_local)

    @property
    def local_source(self) -> Path | None:
        return _local(self.source)

    @property
    def local_destination(self) -> Path | None:
        return _local(self.destination)

    @property
    def keeps_modes(self) -> bool:
        """Whether files get the modes of those that they are made from."""
        return self.is_local and self.moves and self.modes

    def backend_of(self, place: str) -> str | None:
        """None of a local path."""
        name = None if place.startswith("/") else place.partition(":")[0]
        return next((remote.backend for remote in self.remotes if remote.name == name), None)

    @property
    def destination_holds_folders(self) -> bool:
        """Whether a folder can be there in which there is nothing."""
        if self.local_destination is not None:
            return True
        name, _, _ = self.destination.partition(":")
        found = [remote for remote in self.remotes if remote.name == name]
        return all(
            remote.backend not in _WITHOUT_FOLDERS
            or remote.parameters.get("directory_markers") == "true"
            for remote in found
        )

    @property
    def takes_folders(self) -> bool:
        """Whether folders are made for their own sake. Where only some files are wanted, a tree of
        empty folders is not."""
        if self.only is not None:
            return False
        some = self.options.include or self.options.min_age or self.options.max_size
        return self.operation != "check" and not some

    @property
    def compares_one_way(self) -> bool:
        return self.one_way or self.only is not None

    @property
    def reads(self) -> bool:
        """Whether the source is looked at."""
        return self.operation != TIDY

    @property
    def writes(self) -> bool:
        """Whether the destination is changed."""
        return self.operation != "check" and not self.dry_run

    @property
    def moves(self) -> bool:
        """Whether files travel."""
        return self.operation not in ("check", TIDY) and not self.dry_run

    @property
    def is_limited(self) -> bool:
        """Whether a bandwidth limit holds: a check may read every byte."""
        return self.moves or self.operation == "check"

    @property
    def source_is_tree(self) -> bool:
        """Whether it certainly is a folder. Of a single file rclone refuses to compare anything if
        there is a filter."""
        local = self.local_source is not None and self.local_source.is_dir()
        return local or self.options.filters

    @property
    def names_compared(self) -> bool:
        """Whether rclone has to say which files have no hash, or, of those that are copied first,
        which are there already. It says much else with that."""
        if self.comparison is None or self.operation in ("check", TIDY):
            return False
        finds_some = self.is_copied_first and not self.comparison.every_byte
        return self.comparison.names_unhashed or finds_some

    @property
    def leaves_partials(self) -> bool:
        """Whether an rclone that is killed leaves files that are not whole, under other names."""
        if not self.moves:
            return False
        name, _, _ = self.destination.partition(":")
        found = [remote for remote in self.remotes if remote.name == name]
        local = self.local_destination is not None
        return local or any(remote.backend not in partials.WITHOUT for remote in found)

    @property
    def shows_halves(self) -> bool:
        """Whether a file that is not complete has its final name at the destination."""
        name, _, _ = self.destination.partition(":")
        return any(one.name == name and one.backend == "webdav" for one in self.remotes)

    @property
    def stays_within_one(self) -> bool:
        """Whether both sides are one remote, which can copy without us."""
        name, colon, _ = self.source.partition(":")
        return not self.has_local_end and bool(colon) and self.destination.startswith(f"{name}:")

    @property
    def has_local_end(self) -> bool:
        return self.local_source is not None or self.local_destination is not None

    @property
    def is_local(self) -> bool:
        """Whether both ends are on this machine."""
        return self.local_source is not None and self.local_destination is not None

    @property
    def computes_hashes(self) -> bool:
        """Whether a storage has to read a file to know its checksum."""
        return any(remote.backend == "sftp" for remote in self.remotes)

    @property
    def storage(self) -> str:
        """The words for the storage in a message about a failing connection."""
        names = [remote.name for remote in self.remotes]
        return names[0] if len(names) == 1 else "the storage"


def _local(path: str) -> Path | None:
    return Path(path) if path.startswith("/") else None


def command_line(
    setpriv: str,
    rclone: Path,
    order: TransferOrder,
    stats_interval: float,
    *,
    runtime_dir: RuntimeDir,
    moment: float,
) -> list[str]:
    """The argument list; raises EngineError for an order that must never reach rclone. ``moment``,
    in seconds since 1970, is the one from which ages of files count."""
    if order.operation not in (*OPERATIONS, TIDY):
        raise EngineError(f"“{order.operation}” is not an operation.")
    names = {remote.name for remote in order.remotes}
    for path in (order.source, order.destination):
        # Even behind `--` rclone takes `:backend,option=…:` for a remote, and some options run
        # commands. A leading slash makes it a local path and nothing else; a name of ours and a
        # colon make it that remote, whatever follows.
        name, colon, _ = path.partition(":")
        known = path.startswith("/") or (colon and name in names)
        if not known or "\0" in path:
            raise EngineError("Source and destination must be absolute local paths, or remotes.")
    if order.operation == TIDY:
        return [
            *beginning(setpriv, rclone, order.remotes),
            *(TIDY, "--config", "", "--use-json-log", "--log-level", "NOTICE", "--retries=1"),
            *_statistics(stats_interval),
            *(f"--include={pattern}" for pattern in order.partial_patterns),
            "--", order.destination,
        ]  # fmt: skip
    return [
        *beginning(setpriv, rclone, order.remotes),
        *(_verb(order), "--config", ""),
        "--use-json-log", "--log-level", "DEBUG" if order.names_compared else "INFO",
        *_statistics(stats_interval),
        *(("--combined", "-") if reports(order) else ()),
        *_options(order),
        *flags.of_filters(order.options, _rules(order, runtime_dir), moment),
        *flags.of_control(runtime_dir.socket if order.is_limited else None),
        "--", _source(order), order.destination,
    ]  # fmt: skip


def _source(order: TransferOrder) -> str:
    # rclone tries to rename within one remote, and deletes the older file at the destination
    # first. Across mounts it would find out too late that it has to copy.
    return f":local:{order.source}" if order.across_mounts else order.source


def _statistics(interval: float) -> list[str]:
    return ["--stats", f"{max(1, round(interval * 1000))}ms", "--stats-log-level", "NOTICE"]


def _rules(order: TransferOrder, runtime_dir: RuntimeDir) -> Path | None:
    if order.single and order.only is None:
        return runtime_dir.filters(order.options)
    if order.looks_for is not None:
        return runtime_dir.filters(order.options, order.only, (f"+ {PREFIX}{order.looks_for}",))
    return runtime_dir.filters(order.options, order.only, (RULE,))


def _verb(order: TransferOrder) -> str:
    # One file is never a reason to delete others, nor one of its own name if a filter leaves it
    # out.
    one_of_a_sync = order.only is not None and order.operation == "sync"
    return "copy" if one_of_a_sync or order.is_copied_first else order.operation


def reports(order: TransferOrder) -> bool:
    """Whether rclone has to report each file that it has compared. In a copy or move it would also
    list folders of the destination that have nothing to do with the source."""
    return _verb(order) in ("check", "sync") or order.dry_run


def _options(order: TransferOrder) -> list[str]:
    # --links is left out on purpose: a link that a transfer may create in one root would lead
    # the next transfer out of it.
    options: list[str] = []
    if order.operation != "check":
        # Totals are known before the first byte moves.
        options += ["--check-first", "--partial-suffix", order.partial_suffix]
        options += flags.of_copying(order.options, order.comparison)
    else:
        options += order.comparison.flags if order.comparison else ()
        if order.compares_one_way:
            options.append("--one-way")
    if order.operation != "check" or order.source_is_tree:
        # Neither copied as if they were files, nor deleted while another may write them.
        options.append(f"--exclude={partials.PATTERN}")
    if order.only is not None:
        # A large destination is not listed for the sake of one file.
        looks = [] if order.operation == "check" else ["--no-traverse"]
        options += ["--max-depth=1", "--no-update-dir-modtime", *looks]
    if order.takes_folders:
        options.append("--create-empty-src-dirs")
    disabled: list[str] = []
    if order.operation == "move":
        # Renaming the folder as a whole would take an allowed root itself away, and tell
        # neither files nor bytes.
        disabled.append("DirMove")
    if order.keeps_modes:
        # Owner and group stay as the system sets them: a -1 changes nothing. Folders get their
        # modes last, see ``folder_modes``: nothing could be written into one that is read-only.
        options += ["--metadata", "--metadata-set", "uid=-1", "--metadata-set", "gid=-1"]
        disabled += ["MkdirMetadata", "WriteDirMetadata"]
    if disabled:
        options += ["--disable", ",".join(disabled)]
    return options + _names(order) + _limits(order)


def _names(order: TransferOrder) -> list[str]:
    options = ["--ignore-case-sync"] if order.folds_case else []
    return [*options, "--no-unicode-normalization"] if order.keeps_accents else options


def _limits(order: TransferOrder) -> list[str]:
    options: list[str] = []
    if order.confirmed is not None:
        options.append(f"--max-delete={order.confirmed.deletes + order.replaces}")
    if order.bandwidth_limit and order.is_limited:
        options.append(f"--bwlimit={order.bandwidth_limit}")
    if order.in_small_pieces and order.is_limited:
        options.append("--buffer-size=0")
    if order.dry_run:
        options.append("--dry-run")
    return options


def environment(order: TransferOrder, data_dir: Path | None) -> dict[str, str]:
    """Built from nothing: a stray RCLONE_* variable acts as an option of rclone. Secrets of remotes
    go here, since anybody on the machine may read a command line."""
    result = {
        "PATH": SEARCH_PATH,
        "LANG": "C.UTF-8",
        "PORTAL_JOB_ID": str(order.job_id),
        "PORTAL_ATTEMPT": str(order.attempt),
        "PORTAL_OWNER": process_identity(),
    }
    if data_dir is not None:
        result["PORTAL_DATA"] = os.path.realpath(data_dir)
    for remote in order.remotes:
        result |= variables(remote)
    return result
