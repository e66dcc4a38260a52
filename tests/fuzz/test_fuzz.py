"""The parsers under random damage for seconds, what was found before, and that the fuzzer finds what there is."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.findings import FINDINGS, LONG_NAME
from tests.fuzz.targets import TARGETS

from cloudreg_io.tiles import open_acquisition
from cloudreg_io.tiles.completeness import check

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"nan",
    b"99999999999999999999",
    b"0.5",
    b"1,5",
    b"",
    b"\xff\xfe",
    b"\0\0\0\0",
    b"\xff" * 4,
)


@pytest.fixture(scope="module", params=TARGETS.values(), ids=TARGETS)
def prepared(request, tmp_path_factory):
    """A target, and the path of its input with its surroundings made."""
    return request.param, request.param.prepare(tmp_path_factory.mktemp(request.param.name))


@st.composite
def damaged(draw, seeds, words):
    """A seed with a few pieces cut out, doubled, or replaced by words of the format and odd numbers."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from((0, 1, 2, 4, 9, 40, 10_000))))
        pieces = st.sampled_from((b"", 2 * data[begin:end], *NUMBERS, *(word.encode() for word in words)))
        data = data[:begin] + draw(pieces | st.binary(min_size=1, max_size=4)) + data[end:]
    return data


def test_the_first_seed_is_good(prepared):
    target, path = prepared
    assert target.run(path, target.seeds[0]) == "taken"


def test_damage_is_refused_or_taken(prepared):
    target, path = prepared
    refused = []

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damaged(target.seeds, target.words))
    def check(data):
        refused.append(target.run(path, data) != "taken")

    check()
    assert any(refused)


@pytest.mark.parametrize(("target", "data", "raised"), FINDINGS.values(), ids=FINDINGS)
def test_what_was_found_is_refused_or_taken_now(target, data, raised, tmp_path):
    assert raised
    TARGETS[target].run(TARGETS[target].prepare(tmp_path), data)
    if LONG_NAME.encode() in data:
        # a folder that cannot exist is a tile that is missing, and is told as such
        problems = check(open_acquisition(tmp_path / TARGETS[target].file)).problems
        assert any(LONG_NAME in str(problem) and "no folder" in str(problem) for problem in problems)


def test_the_fuzzer_finds_a_planted_defect(tmp_path):
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", "30", "--folder", tmp_path, "planted"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "findings: planted" in done.stdout
    assert "KeyError: 'planted'" in done.stdout
    (found,) = tmp_path.glob("planted-crash-*")
    assert b"bug" in found.read_bytes()
    assert base64.b64encode(found.read_bytes()).decode() in done.stdout
