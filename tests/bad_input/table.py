"""The whole table, by what is bad."""

from bad_input import (
    acquisitions,
    buckets,
    corrections,
    options,
    planes,
    registrations,
    stacks,
    tile_lists,
    transforms,
    volumes,
)

GROUPS = {
    "Acquisitions": acquisitions.CASES,
    "Files that describe tiles": tile_lists.CASES,
    "Planes": planes.CASES,
    "Correction and alignment": corrections.CASES,
    "Stacks, and where results go": stacks.CASES,
    "Volumes": volumes.CASES,
    "S3": buckets.CASES,
    "Registration": registrations.CASES,
    "Transforms, points and landmarks": transforms.CASES,
    "Options and command lines": options.CASES,
}
CASES = [case for group in GROUPS.values() for case in group]
