"""How work is run: executor, journal, stages, provenance, progress."""

from cloudreg_io.run.counters import count
from cloudreg_io.run.digest import digest
from cloudreg_io.run.executor import executor
from cloudreg_io.run.progress import NO_PROGRESS, Progress
from cloudreg_io.run.session import Run, open_run
from cloudreg_io.run.shared import Shared
from cloudreg_io.run.units import Unit

__all__ = ["NO_PROGRESS", "Progress", "Run", "Shared", "Unit", "count", "digest", "executor", "open_run"]
