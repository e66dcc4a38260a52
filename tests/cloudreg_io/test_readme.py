"""The examples of cloudreg-io's README run as they stand, one after the other."""

import re
from pathlib import Path

from support.colm_folders import Colm

README = Path(__file__).resolve().parents[2] / "packages" / "cloudreg-io" / "README.md"


def test_the_examples_run(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 6  # one a sub-package
    Colm(tmp_path / "EXPERIMENT", planes=12).write()
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["planes"].shape == (10, 16, 20)
    assert sorted(names["means"]) == ["mip 0", "mip 1", "mip 2"]
    assert len(names["truth"].tiles) == 4
