"""The example of cloudreg-stitch's README runs as it stands."""

import re
from pathlib import Path

from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from cloudreg_io.volumes import open_volume

README = Path(__file__).resolve().parents[2] / "packages" / "cloudreg-stitch" / "README.md"


def test_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    spec = AcquisitionSpec(rows=2, columns=2, tile_size=(64, 64), planes=16, seed=1)
    x, y, z = (int(n) + 1 for n in spec.span)
    make_acquisition(tmp_path / "ACQ", make_phantom((x, y, z), spec.voxel_size, 1).scene(0), spec)
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    assert open_volume("OUT/CHN00").size() == names["report"].size
    assert str(names["report"].size) in capsys.readouterr().out
