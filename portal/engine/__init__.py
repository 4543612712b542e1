"""rclone: command line, process, statistics, exit codes. Knows neither the web nor the database."""

from portal.engine.answers.backend_options import BackendOption, options_of
from portal.engine.answers.host_keys import list_and_learn
from portal.engine.answers.listing import (
    Entry,
    Listing,
    answers_to_anything,
    list_folder,
    make_folder,
)
from portal.engine.answers.matching import Matching, MatchingFile, list_matching
from portal.engine.errors import Abandoned, EngineError
from portal.engine.markers import is_marker
from portal.engine.order.command import TransferOrder
from portal.engine.order.confinement import problem as confinement_problem
from portal.engine.order.remotes import Remote
from portal.engine.output.found import Found
from portal.engine.output.log import LogLine
from portal.engine.output.plan import ConfirmedPlan, Plan
from portal.engine.output.progress import FIGURES, Phase, Progress
from portal.engine.output.statistics import CurrentFile
from portal.engine.process.binary import check_rclone, rclone_path, rclone_problem
from portal.engine.process.confined_parent import use_threads
from portal.engine.process.processes import process_identity, process_lives
from portal.engine.process.watchdog import Watchdog
from portal.engine.rclone_runner import Flow
from portal.engine.run import Run
from portal.engine.running.orphans import end_orphans, end_processes_of
from portal.engine.running.outcome import Outcome
from portal.engine.running.rclone_process import ProcessSettings, RcloneProcess
from portal.engine.running.trouble import Trouble
from portal.engine.safety.known_mounts import KnownMounts

__all__ = [
    "FIGURES",
    "Abandoned",
    "BackendOption",
    "ConfirmedPlan",
    "CurrentFile",
    "EngineError",
    "Entry",
    "Flow",
    "Found",
    "KnownMounts",
    "Listing",
    "LogLine",
    "Matching",
    "MatchingFile",
    "Outcome",
    "Phase",
    "Plan",
    "ProcessSettings",
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
    "list_and_learn",
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
