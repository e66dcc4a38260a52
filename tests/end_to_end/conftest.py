"""One small acquisition with known truth for all end-to-end tests, made once a test process."""

import pytest

from cloudreg_io.synthetic import AcquisitionSpec
from support.imaged import image_brain

SPEC = AcquisitionSpec(
    rows=2,
    columns=3,
    tile_size=(192, 160),
    planes=40,
    overlap=(18.0, 20.0),
    jitter=(4.0, 4.0, 2.0),
    channels=2,
    strength=0.4,
    unscanned=frozenset({(0, 0)}),
    seed=11,
)


@pytest.fixture(scope="session")
def acquisition(tmp_path_factory):
    """Five tiles of 192 × 160 × 40 voxels in two channels; the truth is in `truth.json`."""
    return image_brain(tmp_path_factory.mktemp("raw") / "acquisition", SPEC)
