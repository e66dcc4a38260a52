"""Verification: whether an OUT folder still holds what was written, all of it, and nothing else."""

from cloudreg_io.verify.finding import Finding, Judgement
from cloudreg_io.verify.verify import Check, Report, repair, verify

__all__ = ["Check", "Finding", "Judgement", "Report", "repair", "verify"]
