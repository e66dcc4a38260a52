"""`--overwrite` of every command that has an OUT: what commands made is replaced, what others put there stays."""

import numpy as np
import pytest
from typer.testing import CliRunner

from cloudreg_cli.main import app
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.files.tiff import write_plane
from cloudreg_io.space.grid import Grid
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.verify import verify
from cloudreg_stitch.verification import judge_fusion
from support.small_volumes import write_volume
from support.trees import contents, difference, tree

pytestmark = pytest.mark.xdist_group("overwrite")


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def given_shading(acquisition, folder):
    x, y, _ = open_acquisition(acquisition).grid.tile_size
    Shading(np.ones((y, x), np.float32), np.zeros((y, x), np.float32)).save(folder / "flat.tif")
    return folder / "flat.tif"


def run(acquisition, folder):
    plain = ("run", acquisition, folder / "out", "--channels", "0", "--no-shading", "--no-bias")
    return plain, ("--interpolation", "nearest")


def stitch(acquisition, folder):
    return ("stitch", acquisition, folder / "out", "--channels", "1"), ("--mips", "1")


def correct_tiles(acquisition, folder):
    flat = given_shading(acquisition, folder)
    plain = ("correct", "tiles", acquisition, folder / "out", "--channels", "0", "--shading", flat)
    return plain, ("--compression", "lzw")


def correct_volume(acquisition, folder):
    array = np.random.default_rng(0).poisson(300, (8, 40, 50)).astype(np.uint16)
    write_volume(folder / "source", array, chunk=(32, 32, 8), smallest=32)
    Bias(np.ones((2, 4, 5), np.float32), Grid((5, 4, 2), (10, 10, 4), (0, 0, 0))).save(folder / "bias.tif")
    source = folder / "source" / "volume"
    return ("correct", "volume", source, folder / "out", "--bias", folder / "bias.tif"), ("--compression", "zstd")


def ingest(acquisition, folder):
    (folder / "stack").mkdir()
    for z in range(4):
        write_plane(folder / "stack" / f"{z}.tif", np.full((30, 40), z, np.uint16))
    return ("ingest", folder / "stack", folder / "out", "--voxel-size", 1, 1, 1), ("--chunk", 16, 16, 4)


@pytest.mark.parametrize("command", [run, stitch, correct_tiles, correct_volume, ingest])
def test_only_what_the_journal_lists_is_replaced(acquisition, tmp_path, command):
    first, other = command(acquisition, tmp_path)
    out = tmp_path / "out"
    invoke(*first)
    mine = {"mine.txt": b"notes", "CHN99/info": b"{}", "qc/mine.json": b"[]"}
    for name, data in mine.items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(data)
    before = tree(out)
    with pytest.raises(InputError, match=r"other options(?s:.*)--overwrite"):
        invoke(*first, *other)
    assert tree(out) == before
    invoke(*first, *other, "--overwrite")
    assert difference(before, tree(out)) != []
    assert {name: data for name, data in contents(out).items() if name in mine} == mine
    report = verify(out, checks=[judge_fusion])
    assert [str(finding) for finding in report.findings if not finding.harmless] == []
