"""The examples of cloudreg-register's README run as they stand, one after the other."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).resolve().parents[2] / "packages" / "cloudreg-register" / "README.md"


def test_the_examples_run(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["inside"].mean() > 0.95
    case = names["case"]
    assert np.linalg.norm(names["moved"] - names["found"][0]) < 5 * names["report"].error_mean_um
    np.testing.assert_allclose(names["pulled"], names["on_atlas"], atol=0.1)
    assert np.corrcoef(names["on_atlas"].ravel(), case.atlas.ravel())[0, 1] > 0.95
    assert (names["on_target"] == case.target_labels)[case.target_labels > 0].mean() > 0.9
