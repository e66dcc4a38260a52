"""The packages' doors: who may import whom, and what a `--help` may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).resolve().parents[2] / "packages"
LIBRARIES = ("cloudreg_correct", "cloudreg_stitch", "cloudreg_register", "cloudreg_viz")
MAY_IMPORT = {
    "cloudreg_io": set(),
    **{library: {"cloudreg_io"} for library in LIBRARIES},
    "cloudreg_cli": {"cloudreg_io", *LIBRARIES},
}
# of cloudreg_register, from the ground up: each imports what is below it. Only start and lddmm know each other: a
# start is in the terms of the map, and the search for one takes steps of it
FLOORS = (
    {"layout", "memory"},
    {"images"},
    {"atlases", "preparation", "transforms"},
    {"start", "lddmm"},
    {"analysis", "classic"},
    {"stage"},
    {"cli_options"},
    {"cli", "cli_analysis", "cli_transform"},
)
HEAVY = {"torch", "numba", "numpy", "SimpleITK", "cloudvolume", "boto3", "scipy"}


def modules():
    return sorted(PACKAGES.glob("*/src/cloudreg_*/**/*.py"))


def imported(path):
    """(name of the module, line) of every import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, node.lineno


def test_imports_keep_the_directions():
    wrong = []
    for path in modules():
        package = path.relative_to(PACKAGES).parts[2]
        for module, line in imported(path):
            name = module.split(".")[0]
            if name.startswith("cloudreg_") and name != package and name not in MAY_IMPORT[package]:
                # the one exception of the design: the stitch command may apply corrections
                if (path.parts[-2:], name) == (("cloudreg_stitch", "cli.py"), "cloudreg_correct"):
                    continue
                wrong.append(f"{path.relative_to(PACKAGES)}:{line} imports {name}")
    assert len(modules()) > 50
    assert wrong == []


def test_folders_of_registration_import_downwards():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    home = PACKAGES / "cloudreg-register/src/cloudreg_register"
    wrong, seen = [], set()
    for path in sorted(home.rglob("*.py")):
        here = path.relative_to(home).parts[0].removesuffix(".py")
        for module, line in imported(path):
            package, there, *_ = (*module.split("."), "")
            if package != "cloudreg_register" or there == here:
                continue
            seen.add((here, there))
            if floor[there] >= floor[here] and {here, there} != {"start", "lddmm"}:
                wrong.append(f"{path.relative_to(home)}:{line} imports {module}")
    assert len(seen) > 20
    assert wrong == []


def test_stitch_imports_correct_only_inside_functions():
    tree = ast.parse((PACKAGES / "cloudreg-stitch/src/cloudreg_stitch/cli.py").read_text())
    top = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not any(name.startswith("cloudreg_correct") for name in top)


@pytest.mark.parametrize("module", ["cloudreg_cli.main", "cloudreg_stitch.cli"])
def test_help_loads_nothing_heavy(module):
    code = f"import {module}, sys; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_help_of_the_whole_command_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['cloudreg', '--help']\n"
        "from cloudreg_cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('LOADED', *sorted({HEAVY!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


def test_every_package_is_typed_and_has_its_papers():
    for package in sorted(PACKAGES.iterdir()):
        module = package / "src" / package.name.replace("-", "_")
        assert (module / "py.typed").exists()
        for name in ("README.md", "CHANGELOG.md", "LICENSE"):
            assert (package / name).stat().st_size > 50
