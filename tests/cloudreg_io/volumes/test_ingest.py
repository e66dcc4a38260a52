import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cloudvolume import CloudVolume

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.image import write_image
from cloudreg_io.run import executor, open_run
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes import open_volume
from cloudreg_io.volumes.ingest import IngestOptions, ingest, plan_ingest

VOXEL_SIZE = VoxelSize(2, 2, 5)
OPTIONS = {"voxel_size": VOXEL_SIZE, "chunk": (16, 16, 8), "smallest": 16}


def brain(shape=(21, 45, 70), dtype="uint16"):
    """Smooth structure, noise, and a border that is no multiple of any chunk."""
    z, y, x = np.indices(shape)
    smooth = 3000 * np.exp(
        -((x / shape[2] - 0.5) ** 2 + (y / shape[1] - 0.5) ** 2 + (z / shape[0] - 0.5) ** 2) * 8
    )
    noisy = smooth + np.random.default_rng(7).normal(100, 10, shape)
    limit = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else np.inf
    return np.clip(noisy, 0, limit).astype(dtype)


def save_series(folder, array, name="img_{}.tif", first=0, step=1, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for z, plane in enumerate(array):
        tifffile.imwrite(folder / name.format(first + z * step), plane, photometric="minisblack", **options)
    return folder


def run_ingest(stack, volume, *, jobs=1, memory=None, overwrite=False, **options):
    with (
        executor(jobs) as pool,
        open_run(volume, command="ingest", pool=pool, jobs=jobs, overwrite=overwrite) as run,
    ):
        return ingest(run, stack, volume, IngestOptions(**OPTIONS | options), memory=memory)


def contents(folder):
    """Bytes of every file that design §5 wants to be the same."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".cloudreg" not in path.parts and path.name != "provenance.json"
    }


def mean_of_blocks(array, factor):
    """What a mip must hold: the mean of the voxels that exist, rounded half to even."""
    sums, voxels = array.astype(np.float64), np.ones(array.shape)
    for axis, step in enumerate(reversed(factor)):
        starts = np.arange(0, array.shape[axis], step)
        sums, voxels = (np.add.reduceat(values, starts, axis=axis) for values in (sums, voxels))
    return np.rint(sums / voxels)


def test_a_series_is_the_volume_voxel_for_voxel_with_its_pyramid(tmp_path):
    array = brain()
    report = run_ingest(save_series(tmp_path / "stack", array), tmp_path / "volume")
    volume = open_volume(tmp_path / "volume")
    np.testing.assert_array_equal(volume.read(), array)
    assert volume.voxel_size() == VOXEL_SIZE
    assert len(volume.spec.mips) > 2
    for mip, factor in enumerate(volume.spec.mips):
        np.testing.assert_array_equal(volume.read(mip=mip), mean_of_blocks(array, factor))
    assert report.order == "21 planes in the order of their numbers, img_0.tif to img_20.tif, step 1"
    assert report.bytes > 0
    json.dumps(report.to_json())
    # the oracle reads it too
    oracle = CloudVolume(f"precomputed://file://{tmp_path / 'volume'}", progress=False)
    np.testing.assert_array_equal(np.asarray(oracle[:])[..., 0].T, array)
    assert not list((tmp_path / "volume" / ".cloudreg" / "scratch").glob("ingest-*"))


@pytest.mark.parametrize("memory", [None, 100_000], ids=["in memory", "through scratch"])
def test_the_same_bytes_from_one_and_two_jobs_and_little_memory(tmp_path, memory):
    stack = save_series(tmp_path / "stack", brain())
    run_ingest(stack, tmp_path / "one")
    run_ingest(stack, tmp_path / "two", jobs=2, memory=memory)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert not list((tmp_path / "two").rglob(".tmp-*"))


@pytest.mark.parametrize("suffix", [".tif", ".nrrd", ".nii.gz"])
def test_a_file_gives_the_bytes_of_its_planes_and_its_own_spacing(tmp_path, suffix):
    array = brain()
    write_image(tmp_path / f"stack{suffix}", array, VOXEL_SIZE)
    run_ingest(save_series(tmp_path / "stack", array), tmp_path / "of planes")
    run_ingest(tmp_path / f"stack{suffix}", tmp_path / "of file", jobs=2, voxel_size=None)
    assert contents(tmp_path / "of planes") == contents(tmp_path / "of file")


def test_a_given_voxel_size_wins_over_the_header(tmp_path):
    write_image(tmp_path / "stack.tif", brain(), VoxelSize(9, 9, 9))
    run_ingest(tmp_path / "stack.tif", tmp_path / "volume")
    assert open_volume(tmp_path / "volume").voxel_size() == VOXEL_SIZE


def test_without_any_voxel_size_it_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="--voxel-size X Y Z"):
        plan_ingest(save_series(tmp_path / "stack", brain()), tmp_path / "volume")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"])
def test_every_dtype_of_an_image(tmp_path, dtype):
    array = brain((9, 20, 20), dtype)
    run_ingest(save_series(tmp_path / "stack", array), tmp_path / "volume")
    volume = open_volume(tmp_path / "volume")
    assert volume.dtype == dtype
    np.testing.assert_array_equal(volume.read(), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_labels_are_pooled_by_mode_and_keep_every_bit(tmp_path, dtype):
    ids = np.array([3, 5, np.iinfo(dtype).max, np.iinfo(dtype).max - 1], dtype)
    array = ids[np.random.default_rng(1).integers(0, 4, (9, 20, 20))]
    layer = None if dtype == "uint64" else "segmentation"
    report = run_ingest(save_series(tmp_path / "stack", array), tmp_path / "volume", layer=layer, mips=2)
    assert report.volume.spec.layer == "segmentation"
    np.testing.assert_array_equal(report.volume.read(), array)
    assert set(np.unique(report.volume.read(mip=1))) <= set(ids)


def test_types_without_a_place_are_converted_only_when_told(tmp_path):
    array = brain((4, 20, 20), "float64") + 0.4
    stack = save_series(tmp_path / "stack", array)
    with pytest.raises(InputError, match=r"float64.*\n.*--dtype float32"):
        plan_ingest(stack, tmp_path / "volume", IngestOptions(**OPTIONS))
    run_ingest(stack, tmp_path / "floats", dtype="float32")
    np.testing.assert_array_equal(open_volume(tmp_path / "floats").read(), array.astype(np.float32))
    run_ingest(stack, tmp_path / "integers", dtype="uint16")
    np.testing.assert_array_equal(open_volume(tmp_path / "integers").read(), np.rint(array))
    with pytest.raises(InputError, match=r"img_0.tif: values from .* do not fit uint8"):
        run_ingest(stack, tmp_path / "small", dtype="uint8")


def test_nan_is_an_error_that_says_where_or_a_value_that_was_asked_for(tmp_path):
    array = brain((4, 20, 20), "float32")
    array[2, 7, 5] = np.nan
    stack = save_series(tmp_path / "stack", array)
    with pytest.raises(InputError, match=r"img_2.tif: 1 values are not finite .* \[7, 5\]"):
        run_ingest(stack, tmp_path / "refused")
    run_ingest(stack, tmp_path / "volume", nan_to=-1)
    assert open_volume(tmp_path / "volume").read()[2, 7, 5] == -1


# -- the order of planes


def test_numbers_rule_not_letters(tmp_path):
    array = brain((12, 20, 20))
    run_ingest(save_series(tmp_path / "stack", array, first=95, name="b7_z{}_C01.TIF"), tmp_path / "volume")
    np.testing.assert_array_equal(open_volume(tmp_path / "volume").read(), array)


def test_numbers_may_grow_in_any_even_step(tmp_path):
    array = brain((6, 20, 20))
    report = run_ingest(save_series(tmp_path / "stack", array, "{:06d}.tif", 1000, 50), tmp_path / "volume")
    np.testing.assert_array_equal(report.volume.read(), array)
    assert report.order.endswith("step 50")


def test_gaps_are_named_or_filled_and_reported(tmp_path):
    array = brain((9, 20, 20))
    stack = save_series(tmp_path / "stack", array)
    for z in (2, 3, 6):
        (stack / f"img_{z}.tif").unlink()
    with pytest.raises(InputError, match=r"3 of 9 planes are missing: numbers 2, 3, 6"):
        plan_ingest(stack, tmp_path / "volume", IngestOptions(**OPTIONS))
    report = run_ingest(stack, tmp_path / "volume", missing="fill")
    array[[2, 3, 6]] = 0
    np.testing.assert_array_equal(report.volume.read(), array)
    assert report.filled == (2, 3, 6)
    provenance = json.loads((tmp_path / "volume" / "provenance.json").read_text())
    assert "2, 3, 6" in provenance["commands"][0]["warnings"][0]


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["a_1.tif", "a_2.tif", "b_1.tif"], "not named alike"),
        (["c0_1.tif", "c0_2.tif", "c1_1.tif", "c1_2.tif"], "2 numbers"),
        (["a_1.tif", "a_01.tif"], "two planes of number 1"),
        (["a_1.tif", "a_1.tiff"], "two planes of number 1"),
        (["a_1.tif", "a_4.tif", "a_6.tif"], "irregular"),
    ],
)
def test_names_that_do_not_tell_an_order_are_refused(tmp_path, names, named):
    for name in names:
        tifffile.imwrite(tmp_path / name, np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=named):
        plan_ingest(tmp_path, tmp_path.parent / "volume", IngestOptions(**OPTIONS))


def test_one_plane_alone_is_a_volume_of_z_1(tmp_path):
    array = brain((1, 20, 20))
    run_ingest(save_series(tmp_path / "stack", array, "only.tif"), tmp_path / "volume")
    np.testing.assert_array_equal(open_volume(tmp_path / "volume").read(), array)


# -- what is wrong with planes


@pytest.mark.parametrize(
    ("plane", "named"),
    [
        (np.zeros((21, 20), np.uint16), r"img_3.tif is 20 × 21 pixels; expected 20 × 20"),
        (np.zeros((20, 20), np.uint8), r"img_3.tif holds uint8; expected uint16"),
        (np.zeros((20, 20, 3), np.uint8), "img_3.tif has 3 samples"),
    ],
)
def test_a_plane_unlike_the_first_is_named_before_anything_is_written(tmp_path, plane, named):
    stack = save_series(tmp_path / "stack", brain((5, 20, 20)))
    tifffile.imwrite(stack / "img_3.tif", plane)
    with pytest.raises(InputError, match=named):
        plan_ingest(stack, tmp_path / "volume", IngestOptions(**OPTIONS))
    assert not (tmp_path / "volume").exists()


def test_a_header_that_claims_terabytes_is_refused_without_allocating(tmp_path):
    stack = save_series(tmp_path / "stack", brain((3, 20, 20)))
    with tifffile.TiffFile(stack / "img_0.tif", mode="r+") as file:
        for name in ("ImageLength", "ImageWidth", "RowsPerStrip"):
            file.pages[0].tags[name].overwrite(60000, dtype="I")
    with pytest.raises(InputError, match=r"img_0.tif declares 60000 × 60000"):
        plan_ingest(stack, tmp_path / "volume", IngestOptions(**OPTIONS))


def test_nothing_there_is_said_so(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, named in ((tmp_path / "absent", "absent not found"), (tmp_path / "empty", "no planes found in")):
        with pytest.raises(NotFoundError, match=named):
            plan_ingest(path, tmp_path / "volume", IngestOptions(**OPTIONS))


def test_a_single_multi_page_file_in_a_folder_is_pointed_at(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", brain((5, 20, 20)), photometric="minisblack")
    with pytest.raises(InputError, match="5 pages, not a series"):
        plan_ingest(tmp_path, tmp_path.parent / "volume", IngestOptions(**OPTIONS))


def test_raw_data_is_never_written_to(tmp_path):
    stack = save_series(tmp_path / "stack", brain((3, 20, 20)))
    for target in (stack, stack / "volume", f"file://{stack}/a/b"):
        with pytest.raises(InputError, match="would lie in the stack"):
            plan_ingest(stack, target, IngestOptions(**OPTIONS))


# -- again, and after a crash


class Killed(BaseException):
    pass


def test_killed_at_any_unit_the_same_command_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    from cloudreg_io.volumes.ingest import perform as module

    stack = save_series(tmp_path / "stack", brain())
    run_ingest(stack, tmp_path / "whole")
    original, begun = module.ingest_slab, []

    def dying(task, after):
        begun.append(task.z)
        if len(begun) == after:
            raise Killed
        return original(task)

    for after in (1, 3):
        begun.clear()
        target = tmp_path / f"killed {after}"
        with monkeypatch.context() as patch:
            patch.setattr(module, "ingest_slab", partial(dying, after=after))
            with pytest.raises(Killed):
                run_ingest(stack, target)
        run_ingest(stack, target)
        assert contents(target) == contents(tmp_path / "whole")


def test_a_second_run_does_nothing_and_other_options_are_refused(tmp_path):
    stack = save_series(tmp_path / "stack", brain())
    first = run_ingest(stack, tmp_path / "volume")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "volume").rglob("*_*_*")}
    assert run_ingest(stack, tmp_path / "volume") == first
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "volume").rglob("*_*_*")}
    with pytest.raises(InputError, match="--overwrite"):
        run_ingest(stack, tmp_path / "volume", chunk=(32, 32, 8))
    run_ingest(stack, tmp_path / "volume", chunk=(32, 32, 8), overwrite=True)
    run_ingest(stack, tmp_path / "fresh", chunk=(32, 32, 8))
    assert contents(tmp_path / "volume") == contents(tmp_path / "fresh")


def test_changed_planes_are_noticed(tmp_path):
    stack = save_series(tmp_path / "stack", brain())
    run_ingest(stack, tmp_path / "volume")
    save_series(stack, brain()[::-1])
    with pytest.raises(InputError, match="stack was"):
        run_ingest(stack, tmp_path / "volume")
    run_ingest(stack, tmp_path / "volume", overwrite=True)
    np.testing.assert_array_equal(open_volume(tmp_path / "volume").read(), brain()[::-1])


def test_a_volume_that_somebody_else_made_is_left_alone(tmp_path):
    stack = save_series(tmp_path / "stack", brain((3, 20, 20)))
    run_ingest(stack, tmp_path / "volume")
    shutil.rmtree(tmp_path / "volume" / ".cloudreg")
    with pytest.raises(InputError, match="no earlier command"):
        run_ingest(stack, tmp_path / "volume")


def test_into_s3_with_the_journal_beside(tmp_path, s3):
    array = brain((9, 20, 20))
    stack, url = save_series(tmp_path / "stack", array), f"s3://{s3}/a/volume"
    with open_run(tmp_path / "work", command="ingest") as run:
        report = ingest(run, stack, url, IngestOptions(**OPTIONS))
    np.testing.assert_array_equal(report.volume.read(), array)
    np.testing.assert_array_equal(open_volume(url).read(mip=1), mean_of_blocks(array, report.volume.spec.mips[1]))


@pytest.mark.needs("shared")
def test_the_real_brain_as_planes_is_the_volume_voxel_for_voxel(tmp_path, shared_data):
    array = tifffile.imread(shared_data / "real_brain_50um.tif")
    assert array.shape == (255, 217, 170)
    stack = save_series(tmp_path / "stack", array, "brain_{}.tif")
    with executor(2) as pool, open_run(tmp_path / "volume", command="ingest", pool=pool, jobs=2) as run:
        report = ingest(run, stack, tmp_path / "volume", IngestOptions(voxel_size=VoxelSize(50, 50, 50)))
    np.testing.assert_array_equal(report.volume.read(), array)
    assert report.volume.size(1) == (85, 109, 128)
    np.testing.assert_array_equal(report.volume.read(mip=1), mean_of_blocks(array, (2, 2, 2)))


def test_the_stack_is_only_read(tmp_path):
    stack = save_series(tmp_path / "stack", brain((3, 20, 20)))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(stack).iterdir()}
    run_ingest(stack, tmp_path / "volume")
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(stack).iterdir()}
