"""The command `register`: what it leaves in OUT, that it goes on after a kill -9, what it says on the way."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Bounds
from cloudreg_io.verify import verify
from cloudreg_io.volumes import open_volume
from cloudreg_register.cli import register
from cloudreg_register.cli_analysis import regions
from cloudreg_register.stage.registering import register_target
from cloudreg_register.stage.starting import Person, stated_start
from cloudreg_register.transforms.transform import Transform
from support.brains import make_brain
from support.forked import begun, ended
from support.small_volumes import write_volume
from support.trees import difference, tree

pytestmark = pytest.mark.xdist_group("register")


def _nobody(_):
    raise EOFError


NOBODY = Person(_nobody, lambda path, text: None)


class Watch:
    """Progress of which the steps of the registration are known; killed at the n-th."""

    def __init__(self, fuse=0):
        self.name, self.fuse, self.begun_at = "", fuse, []

    def start(self, name, total, done=0):
        self.name = name
        if name == "register":
            self.begun_at.append(done)

    def advance(self, n=1):
        self.fuse -= self.name == "register"
        if self.name == "register" and self.fuse == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, text):
        pass

    def finish(self):
        pass


def cloudreg(*args, **how):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(register)
    return CliRunner().invoke(app, [str(arg) for arg in args], **how)


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    return make_brain(tmp_path_factory.mktemp("brain"))


@pytest.fixture(scope="module")
def registered(brain, tmp_path_factory):
    """OUT of an undisturbed command, and what it printed."""
    out = tmp_path_factory.mktemp("registered") / "out"
    done = cloudreg(brain.place("target"), out, *brain.words(), "--json")
    assert done.exit_code == 0, done.output
    return out, json.loads(done.stdout)


def test_out_holds_what_the_contract_says(registered, brain):
    out, report = registered
    transform = Transform.load(out / "registration/transform")
    assert transform.target.size == brain.case.target_grid.size
    assert transform.confidence is not None
    target = open_volume(out / "target")
    assert np.array_equal(target.read(), brain.case.target)
    for name, layer, dtype in (("labels", "segmentation", "uint32"), ("atlas_on_target", "image", "float32")):
        volume = open_volume(out / "registration" / name)
        assert (volume.size(), volume.spec.layer, volume.spec.dtype) == (target.size(), layer, dtype)
        assert volume.spec.mips == target.spec.mips
    assert report["transform"] == str(out / "registration/transform")
    assert report["map"]["folded"] == 0
    assert verify(out).whole


def test_labels_come_nearer_to_where_they_are(registered, brain):
    out, _ = registered
    found = open_volume(out / "registration/labels").read(Bounds.of_size(brain.case.target_grid.size))
    unmoved = brain.case.labels
    true = brain.case.target_labels
    pad = [(a - b) // 2 for a, b in zip(true.shape, unmoved.shape, strict=True)]
    before = np.pad(unmoved, [(p, t - u - p) for p, t, u in zip(pad, true.shape, unmoved.shape, strict=True)])
    assert (found == true).mean() > (before == true).mean()


def test_regions_add_up(registered, brain):
    out, _ = registered
    rows = list(csv.DictReader((out / "registration/regions.csv").open()))
    assert sum(int(row["voxels"]) for row in rows) == brain.case.target.size
    assert sum(float(row["total"]) for row in rows) == pytest.approx(brain.case.target.sum(), rel=1e-5)
    assert {row["hemisphere"] for row in rows} == {"left", "right"}
    assert (out / "registration/structures.csv").read_bytes() == (brain.folder / "structures.csv").read_bytes()


def test_the_record_says_how_the_energy_fell(registered):
    out, _ = registered
    record = json.loads((out / "qc/register.json").read_text())
    energies = [step["energy"] for step in record["steps"]]
    assert energies
    assert energies == sorted(energies, reverse=True)
    assert "seconds" not in record["steps"][0]
    assert record["extent"]["verdict"] == "fits"
    start = json.loads((out / "registration/start.json").read_text())
    assert start["matrix"] == record["start"]
    with np.load(out / "qc/register.npz") as planes:
        for letter in "xyz":
            shape = planes[f"target_{letter}"].shape
            for name in ("atlas_before", "atlas_after", "labels_before", "labels_after"):
                assert planes[f"{name}_{letter}"].shape == shape
        assert not np.array_equal(planes["atlas_before_z"], planes["atlas_after_z"])


def test_the_same_command_again_does_nothing(registered, brain):
    out, report = registered
    before = {path: path.stat().st_mtime_ns for path in (out / "registration").rglob("*")}
    done = cloudreg(brain.place("target"), out, *brain.words(), "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == report
    assert {path: path.stat().st_mtime_ns for path in (out / "registration").rglob("*")} == before


@pytest.mark.parametrize("precomputed", [False, True])
def test_cells_are_counted_into_the_table_that_is_there(brain, tmp_path, monkeypatch, precomputed):
    """`regions --points` after `register` needs no --overwrite, wherever the target lies; `register` keeps it."""
    monkeypatch.chdir(tmp_path)
    place = brain.place("target")
    if precomputed:
        write_volume(tmp_path / "w", brain.case.target, (600.0,) * 3, url=tmp_path / "brain")
        place = "brain"
    words = [*brain.words(), "--iterations", 1, 1, 1]
    assert cloudreg(place, "out", *words).exit_code == 0
    table = tmp_path / "out/registration/regions.csv"
    plain = list(csv.DictReader(table.open()))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(regions)
    done = CliRunner().invoke(app, ["out", "--points", str(brain.folder / "target.csv")])
    assert done.exit_code == 0, (done.output, done.exception)
    told = list(csv.DictReader(table.open()))
    assert sum(int(row["points"]) for row in told) == 12
    assert [row["total"] for row in told] == [row["total"] for row in plain]
    before = table.stat().st_mtime_ns
    assert cloudreg(place, "out", *words).exit_code == 0
    assert table.stat().st_mtime_ns == before
    assert verify(tmp_path / "out").whole


def test_other_options_are_refused(registered, brain):
    out, _ = registered
    done = cloudreg(brain.place("target"), out, *brain.words(), "--mode", "rigid")
    assert isinstance(done.exception, InputError)
    assert "--overwrite" in str(done.exception)


def test_nothing_is_written_into_the_atlas(brain, tmp_path):
    atlas = tmp_path / "atlas"
    write_volume(
        tmp_path / "scratch", np.arange(8000, dtype=np.uint16).reshape(20, 20, 20), (500.0,) * 3, url=atlas
    )
    before = tree(atlas)
    words = ("--orientation", "LPS", "--atlas", atlas, "--atlas-orientation", "LPS")
    done = cloudreg(brain.place("target"), atlas / "out", *words)
    assert "is the atlas, or lies in it" in str(done.exception)
    assert tree(atlas) == before


def test_killed_and_begun_anew_it_ends_in_the_same_bytes(registered, brain, tmp_path):
    out = tmp_path / "out"

    def work(watch):
        register_target(brain.place("target"), out, brain.choice(), progress=watch)

    assert ended(begun(lambda: work(Watch(fuse=1)))) == -signal.SIGKILL
    assert not (out / "registration/transform").exists()
    assert (out / ".cloudreg/scratch/register/checkpoint.npz").exists()
    again = Watch()
    work(again)
    assert again.begun_at == [1]  # the step that was done is not done again
    assert difference(tree(registered[0]), tree(out)) == []


def test_a_precomputed_target_gets_its_own_levels_and_is_put_on_the_atlas(brain, tmp_path):
    array = np.clip(brain.case.target * 1000, 0, 60000).astype(np.uint16)
    write_volume(tmp_path / "w", array, (600.0,) * 3, mips=[(1, 1, 1), (2, 2, 2)], url=tmp_path / "brain")
    out = tmp_path / "out"
    progress = ("--to-atlas", 1200, "--iterations", 1, 1, 1)
    done = cloudreg(tmp_path / "brain", out, *brain.words(), *progress)
    assert done.exit_code == 0, done.output
    assert "viz serve" in done.stdout
    assert not (out / "target").exists()
    labels = open_volume(out / "registration/labels")
    assert labels.spec.mips == open_volume(tmp_path / "brain").spec.mips
    on_atlas = open_volume(out / "registration/on_atlas/brain")
    assert on_atlas.size() == (9, 11, 8)
    assert on_atlas.read().max() > 0
    rows = list(csv.DictReader((out / "registration/regions.csv").open()))
    assert sum(int(row["total"]) for row in rows) == array.sum(dtype=np.int64)


def test_without_a_table_of_structures_regions_are_known_by_their_ids(brain, tmp_path, caplog):
    out = tmp_path / "out"
    register_target(brain.place("target"), out, brain.choice(structures=None, iterations=(1, 1, 1)))
    rows = list(csv.DictReader((out / "registration/regions.csv").open()))
    assert {int(row["id"]) for row in rows} == set(
        np.unique(open_volume(out / "registration/labels").read()).tolist()
    )
    assert sum(int(row["voxels"]) for row in rows) == brain.case.target.size
    assert not (out / "registration/structures.csv").exists()
    assert "not in the table" not in caplog.text


class TestStart:
    def test_without_a_translation_the_tissues_meet(self, brain):
        inputs = loaded(brain)
        moved = stated_start(inputs, brain.choice())
        still = stated_start(inputs, brain.choice(translation=(0.0, 0.0, 0.0)))
        assert np.allclose(still.matrix, np.eye(4))
        assert np.allclose(moved.linear, np.eye(3))
        assert np.abs(moved.translation).max() > 0

    def test_a_person_may_turn_it(self, brain, tmp_path):
        answers = iter(["--rotation 0 0 90", "y"])
        shown = []
        person = Person(lambda _: next(answers), lambda path, text: shown.append((path.stat().st_size, text)))
        choice = brain.choice(iterations=(1, 1, 1))
        register_target(brain.place("target"), tmp_path / "out", choice, person=person)
        assert len(shown) == 2
        start = Affine(json.loads((tmp_path / "out/registration/start.json").read_text())["matrix"])
        assert np.allclose(start.linear, [[0, -1, 0], [1, 0, 0], [0, 0, 1]])
        # the same command again asks nobody: the start is known
        register_target(brain.place("target"), tmp_path / "out", choice, person=person)

    def test_one_who_says_no_may_try_another(self, brain, tmp_path):
        """Without --overwrite: nothing was made of the first."""

        def answering(answer):
            return Person(lambda _: answer, lambda path, text: None)

        place, out = brain.place("target"), tmp_path / "out"
        for person in (answering("n"), NOBODY):
            with pytest.raises(InputError, match="confirm"):
                register_target(place, out, brain.choice(), person=person)
        assert not (out / "registration/start.json").exists()
        choice = brain.choice(iterations=(1, 1, 1), rotation=(0.0, 0.0, 20.0))
        register_target(place, out, choice, person=answering("y"))
        start = Affine(json.loads((out / "registration/start.json").read_text())["matrix"])
        assert np.isclose(start.linear[0, 0], np.cos(np.radians(20)))
        assert verify(out).whole

    def test_nobody_to_ask_is_an_error(self, brain, tmp_path):
        done = cloudreg(brain.place("target"), tmp_path / "out", *brain.words(), "--confirm", input="")
        assert isinstance(done.exception, InputError)
        assert "nobody can be asked" in str(done.exception)
        assert not (tmp_path / "out/registration/transform").exists()

    def test_landmarks_give_it(self, brain):
        from cloudreg_register.stage.starting import found_start, landmark_term

        files = (str(brain.folder / "atlas.csv"), str(brain.folder / "target.csv"))
        inputs = loaded(brain)
        start = found_start(inputs, brain.choice(landmarks=files))
        assert start.found["by"] == "landmarks"
        true = brain.case.deformation.affine
        assert np.abs(start.affine.linear - true.linear).max() < 0.1
        assert landmark_term(inputs, brain.choice(landmarks=files, landmarks_for="start")) is None
        assert len(landmark_term(inputs, brain.choice(landmarks=files)).atlas) == 12


def loaded(brain):
    from cloudreg_register.stage.inputs import load_atlas, load_inputs

    choice = brain.choice()
    return load_inputs(brain.place("target"), choice, load_atlas(choice, None), None)


class TestImpossible:
    """What is refused before there is work, each with what to type."""

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"translation": (float("nan"), 0.0, 0.0)}, "--translation nan 0 0: finite"),
            ({"rotation": (1e300, 0.0, 0.0)}, "--rotation 1e\\+300 0 0: it takes degrees"),
            ({"scale": (1e-9, 1.0, 1.0)}, "--scale 1e-09 1 1: from 0.01"),
            ({"to_atlas": 0.0}, "--to-atlas 0 is not positive"),
            ({"landmark_sigma": -1.0}, "--landmark-sigma -1 is not positive"),
            ({"landmark_sigma": 1e-300}, "--landmark-sigma 1e-300 µm is less"),
            ({"regularization": float("inf")}, "--regularization inf: finite"),
            ({"regularization": 1e-300}, "--regularization 1e-300: from 0.001"),
        ],
    )
    def test_numbers(self, brain, change, message):
        with pytest.raises(InputError, match=message):
            brain.choice(**change)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"translation": (13000.0, 0.0, 0.0)}, "lays the atlas beside the target"),
            ({"to_atlas": 0.001}, "20 times finer than any"),
        ],
    )
    def test_choices(self, brain, tmp_path, change, message):
        with pytest.raises(InputError, match=message):
            register_target(brain.place("target"), tmp_path / "out", brain.choice(**change))
        assert not (tmp_path / "out").exists()

    def test_landmarks_that_are_voxels(self, brain, tmp_path):
        for name in ("atlas", "target"):
            rows = list(csv.reader((brain.folder / f"{name}.csv").open()))
            voxels = [[*(float(value) / 600 for value in row[:3]), row[3]] for row in rows[1:]]
            with (tmp_path / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([rows[0], *voxels])
        choice = brain.choice(landmarks=(str(tmp_path / "atlas.csv"), str(tmp_path / "target.csv")))
        with pytest.raises(InputError, match="all landmarks lie within"):
            register_target(brain.place("target"), tmp_path / "out", choice)

    def test_a_file_of_another_format(self, brain, tmp_path):
        (tmp_path / "brain.mha").write_bytes(b"ObjectType = Image")
        with pytest.raises(InputError, match="of a format that is not read here"):
            register_target(str(tmp_path / "brain.mha"), tmp_path / "out", brain.choice())


def test_an_atlas_of_ids_and_labels_of_nothing_are_said(brain, tmp_path, caplog):
    from cloudreg_io.files.image import write_image

    write_image(tmp_path / "none.nrrd", np.zeros_like(brain.case.labels), brain.case.atlas_grid.voxel_size)
    choice = brain.choice(atlas=brain.place("labels"), labels=str(tmp_path / "none.nrrd"), iterations=(1, 1, 1))
    register_target(brain.place("target"), tmp_path / "out", choice)
    assert "looks like labels, and is taken as the atlas's image" in caplog.text
    assert "no voxel of the target lies in a structure" in caplog.text


def test_a_transform_that_was_damaged_is_made_anew_as_the_message_says(registered, brain, tmp_path):
    out = tmp_path / "out"
    choice = brain.choice(iterations=(1, 1, 1))
    register_target(brain.place("target"), out, choice)
    whole = tree(out / "registration/transform")
    (out / "registration/transform/meta.json").write_text("x")
    with pytest.raises(InputError, match=r"remove .*transform and give the same command with --overwrite"):
        register_target(brain.place("target"), out, choice)
    shutil.rmtree(out / "registration/transform")
    register_target(brain.place("target"), out, choice, overwrite=True)
    assert tree(out / "registration/transform") == whole
