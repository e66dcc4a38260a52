"""Ingest: a stack that is already stitched becomes a precomputed volume with its pyramid."""

from cloudreg_io.volumes.ingest.perform import IngestReport, ingest, perform_ingest, require_memory_to_ingest
from cloudreg_io.volumes.ingest.plan import IngestOptions, IngestPlan, plan_ingest, require_free

__all__ = [
    "IngestOptions",
    "IngestPlan",
    "IngestReport",
    "ingest",
    "perform_ingest",
    "plan_ingest",
    "require_free",
    "require_memory_to_ingest",
]
