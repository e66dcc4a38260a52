"""A tile that is too dark to prove anything: the stage's position, and a flag that says why."""

import json

from cloudreg_io.run import open_run
from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from cloudreg_io.tiles import open_acquisition
from cloudreg_stitch.align import place
from cloudreg_stitch.survey import survey


def test_dark_tile_gets_the_stage_position_and_its_neighbours_their_own(tmp_path):
    spec = AcquisitionSpec(
        rows=2, columns=3, tile_size=(256, 256), planes=32, jitter=(8.0, 8.0, 3.0), strength=0.4, seed=5,
        dark=frozenset({(1, 1)}),
    )  # fmt: skip
    size = tuple(int(n) + 1 for n in spec.span)
    truth = make_acquisition(
        tmp_path / "raw", make_phantom(size, spec.voxel_size, 5).scene(0), spec, scene_size=size
    )
    source = open_acquisition(tmp_path / "raw").source(0)
    with open_run(tmp_path / "out", command="t") as run:
        placement = place(run, source, survey(run, source))
    dark = placement.tile("LOC004")
    assert "stage_position" in dark.flags
    assert dark.confidence == 0
    evidence = json.loads((tmp_path / "out/qc/placement.json").read_text())["tiles"][4]["evidence"]
    assert any("dark" in text or "blank" in text for text in evidence)
    assert not any(pair.used for pair in placement.pairs if "LOC004" in (pair.a, pair.b))
    others = [tile.name for tile in placement.scanned if tile.name != "LOC004"]
    assert not any(placement.tile(name).flags for name in others)
    assert max(truth.placement_errors(placement.positions, others).values()) < 0.5
