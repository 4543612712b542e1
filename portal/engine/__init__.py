"""rclone: command line, process, statistics, exit codes. Knows neither the web nor the database."""

from portal.engine.backend_options import BackendOption, options_of
from portal.engine.binary import check_rclone, rclone_path, rclone_problem
from portal.engine.command import TransferOrder
from portal.engine.confined_parent import use_threads
from portal.engine.confinement import problem as confinement_problem
from portal.engine.errors import EngineError
from portal.engine.found import Found
from portal.engine.known_mounts import KnownMounts
from portal.engine.listing import (
    Entry,
    Listing,
    answers_to_anything,
    list_folder,
    make_folder,
)
from portal.engine.log import LogLine
from portal.engine.markers import is_marker
from portal.engine.matching import Matching, MatchingFile, list_matching
from portal.engine.orphans import end_orphans, end_processes_of
from portal.engine.outcome import Outcome
from portal.engine.plan import ConfirmedPlan, Plan
from portal.engine.processes import process_identity, process_lives
from portal.engine.progress import FIGURES, Phase, Progress
from portal.engine.rclone_process import RcloneProcess
from portal.engine.remotes import Remote
from portal.engine.run import Run
from portal.engine.statistics import CurrentFile
from portal.engine.trouble import Trouble
from portal.engine.watchdog import Watchdog

__all__ = [
    "FIGURES",
    "BackendOption",
    "ConfirmedPlan",
    "CurrentFile",
    "EngineError",
    "Entry",
    "Found",
    "KnownMounts",
    "Listing",
    "LogLine",
    "Matching",
    "MatchingFile",
    "Outcome",
    "Phase",
    "Plan",
    "Progress",
    "RcloneProcess",
    "Remote",
    "Run",
    "TransferOrder",
    "Trouble",
    "Watchdog",
    "answers_to_anything",
    "check_rclone",
    "confinement_problem",
    "end_orphans",
    "end_processes_of",
    "is_marker",
    "list_folder",
    "list_matching",
    "make_folder",
    "options_of",
    "process_identity",
    "process_lives",
    "rclone_path",
    "rclone_problem",
    "use_threads",
]
