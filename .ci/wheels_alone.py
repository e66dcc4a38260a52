"""Build every package's wheel and install each alone, in an environment of its own.

The rest comes from the registry. Each environment is checked with `pip check`, and every module of the package is
imported there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_AT_ONCE = 2

# what the modules of a package may lack that belong to one of its extras
_EXTRAS = {"cloudreg-viz": ("matplotlib", "neuroglancer", "tornado")}

_IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names = [name for name in names if not name.endswith(".__main__")]  # those begin to work when imported
optional = []
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in sys.argv[2:]:
            raise
        optional.append(name)
print(f"{sys.argv[1]} {package.__version__}: {len(names)} modules", end="")
print(f"; not without the extra: {', '.join(optional)}" if optional else "")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        members = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, *members)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda name: check(name, wheels, Path(folder) / name), [m.name for m in members]))


def check(name: str, wheels: Path, environment: Path) -> None:
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    (wheel,) = wheels.glob(f"{name.replace('-', '_')}-*.whl")
    run(python, "-m", "pip", "install", "-q", "--no-compile", "--find-links", wheels, wheel)
    run(python, "-m", "pip", "check", "-q")
    run(python, "-c", _IMPORT_ALL, name.replace("-", "_"), *_EXTRAS.get(name, ()))


def run(*command: object) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PIP_CONSTRAINT"] = str(ROOT / "constraints.txt")
    subprocess.run([str(part) for part in command], check=True, env=environment)


if __name__ == "__main__":
    main()
