import pytest

from support.colm_folders import Colm


@pytest.fixture
def colm(tmp_path):
    """A COLM acquisition of 2 × 3 tiles, 4 planes, 2 channels."""
    return Colm(tmp_path / "exp").write()
