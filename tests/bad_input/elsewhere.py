"""The cases of the reference that are not rows of the table: where they are proved, or what is not built yet."""

from bad_input.case import Elsewhere

_KILLS = "`tests/end_to_end/test_kills.py`, `tests/soak/kills.py`"
_FAULTS = "`tests/end_to_end/test_faults.py`; a check before the start is not built yet"
_CLOUD = "not built yet: the cloud commands, a later issue"

ELSEWHERE = [
    Elsewhere("4a", "More than 1,000 keys in a bucket", "`tests/cloudreg_io/files/test_store.py`"),
    Elsewhere("33", "kill -9 in the middle of a write", _KILLS),
    Elsewhere("34", "Disk full", _FAULTS),
    Elsewhere(
        "42a",
        "Mip that does not exist",
        "no command takes the number of a mip; `tests/cloudreg_io/volumes/test_volume.py`",
    ),
    Elsewhere(
        "53c",
        "Access denied to list",
        "no command but `verify` lists; the message: `tests/cloudreg_io/files/test_store.py`",
    ),
    Elsewhere(
        "55",
        "Object that changes while it is downloaded",
        "info and chunks are read by one request each; shards by several, without a check: not built yet",
    ),
    Elsewhere("58", "ssh host key unknown or changed", _CLOUD),
    Elsewhere("59", "ssh key of the wrong type or mode, or with a pass phrase", _CLOUD),
    Elsewhere("60", "Remote command that fails, is killed, or runs out of memory", _CLOUD),
    Elsewhere("61", "Client that is killed or sleeps while a machine runs", _CLOUD),
    Elsewhere("62", "No capacity, no quota, spot machine lost", _CLOUD),
    Elsewhere("64a", "Link longer than browsers take (2 MB)", "`tests/cloudreg_viz/test_link.py`"),
    Elsewhere("C86", "No graphics card for --device cuda", "`tests/cloudreg_register/lddmm/test_device.py`"),
    Elsewhere("F9", "Disk that will fill", _FAULTS),
    Elsewhere("F11", "Killed before: what is done, what remains", _KILLS),
    Elsewhere(
        "F12",
        "Registration poor",
        "folded voxels, changes of volume, the overlap of tissue and pictures before and after are shown; little "
        "overlap, or another way round that fits better, is warned of: `tests/end_to_end/test_register.py`",
    ),
    Elsewhere(
        "F15",
        "S3 key wrong or expired, other region",
        "rows 52 to 54; the cost of another region is not told: not built yet",
    ),
    Elsewhere("F16", "Spot machine taken away", _CLOUD),
]
