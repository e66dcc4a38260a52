"""The whole table, by what is bad."""

from bad_input import acquisitions, buckets, corrections, options, planes, volumes

GROUPS = {
    "Acquisitions": acquisitions.CASES,
    "Planes": planes.CASES,
    "Correction and alignment": corrections.CASES,
    "Stacks and volumes": volumes.CASES,
    "S3": buckets.CASES,
    "Options and command lines": options.CASES,
}
CASES = [case for group in GROUPS.values() for case in group]
