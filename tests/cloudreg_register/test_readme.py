"""The example of cloudreg-register's README runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "packages" / "cloudreg-register" / "README.md"


def test_example_of_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(example, str(README), "exec"), names)
    assert names["inside"].mean() > 0.95
