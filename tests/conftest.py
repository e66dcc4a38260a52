"""What all tests share: the marker `needs`, the folder of real data, and one thread a process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# a busy machine is slow, not wrong
settings.register_profile("cloudreg", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cloudreg")

# before numpy is imported: tests run in several processes
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# commands that tests start ask for threads of their own; these shall sleep, not spin, while others work
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_PARTS = {
    "chromium": lambda: shutil.which("chromium") is not None,
    "sshd": lambda: shutil.which("sshd") is not None,
    "terastitcher": lambda: shutil.which("terastitcher") is not None,
    "shared": SHARED_DATA.is_dir,
    "root": lambda: os.geteuid() == 0,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = {part for part in os.environ.get("CLOUDREG_REQUIRE", "").split(",") if part}
    for mark in item.iter_markers("needs"):
        for part in mark.args:
            if _PARTS[part]():
                continue
            if part in required:
                pytest.fail(f"CLOUDREG_REQUIRE names {part}, which this machine lacks", pytrace=False)
            pytest.skip(f"needs {part}, which this machine lacks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # the longest group runs in one process: begun first, it does not keep the others waiting at the end
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that use it carry `needs("shared")`."""
    return SHARED_DATA
