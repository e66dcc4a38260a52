import json
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_viz.cli import app
from cloudreg_viz.link import MAX_LINK, check_data_address, link, parse_link

VIEWER = "https://viewer.example.org/v1/"
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
states = st.dictionaries(st.text(max_size=8), json_values, max_size=4)


@given(states)
def test_round_trip(state):
    url = link(state, VIEWER)
    assert url.isascii()
    assert urlsplit(url)[:4] == urlsplit(VIEWER)[:4]  # all of it is in the fragment, which no server sees
    assert parse_link(url) == state


def test_neuroglancers_own_parser_reads_the_link():
    url_state = pytest.importorskip("neuroglancer.url_state")
    state = {"position": [1.5, 2.5], "title": "a & b, 'c' #d _e"}
    assert url_state.parse_url(link(state, VIEWER)).to_json() == state


def test_a_state_too_large_for_a_link_is_refused_with_the_way_out():
    with pytest.raises(InputError, match="--state FILE"):
        link({"title": "x" * MAX_LINK}, VIEWER)


@pytest.mark.parametrize("viewer", ["viewer.example.org", "file:///x", "https://", "https://host/#!{}", ""])
def test_a_viewer_is_a_web_page(viewer):
    with pytest.raises(InputError, match="viewer"):
        link({}, viewer)


@pytest.mark.parametrize("url", [VIEWER, f"{VIEWER}#!", f"{VIEWER}#!%7B", f"{VIEWER}#!3", f"{VIEWER}#%7B%7D"])
def test_a_link_without_a_state_is_refused(url):
    with pytest.raises(InputError, match="state"):
        parse_link(url)


@pytest.mark.parametrize("address", ["/data/out", "file:///data/out", "ftp://host/x", "https://", "out"])
def test_data_must_be_where_a_browser_reads(address):
    with pytest.raises(InputError, match="browser"):
        check_data_address(address)


def test_command(tmp_path, write_volume, ramp):
    out = tmp_path / "out"
    write_volume(out / "CHN00", ramp, (2, 2, 4))
    write_volume(out / "registration" / "labels", (ramp > 0).astype("uint32"), (2, 2, 4), layer="segmentation")
    file = tmp_path / "state.json"
    arguments = ["link", str(out), "--viewer", VIEWER, "--data", "s3://bucket/my run/", "--state", str(file)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    state = parse_link(done.stdout.strip())
    assert state == json.loads(file.read_text())
    assert [(each["name"], each["type"], each["source"]["url"]) for each in state["layers"]] == [
        ("CHN00", "image", "precomputed://s3://bucket/my run/CHN00"),
        ("labels", "segmentation", "precomputed://s3://bucket/my run/registration/labels"),
    ]

    as_json = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert json.loads(as_json.stdout) == {"link": done.stdout.strip(), "state": state}


def test_command_refuses_local_data(tmp_path, write_volume, ramp):
    write_volume(tmp_path / "CHN00", ramp, (2, 2, 4))
    with pytest.raises(InputError, match="viz serve"):
        CliRunner().invoke(app, ["link", str(tmp_path), "--viewer", VIEWER], catch_exceptions=False)
    with pytest.raises(NotFoundError, match="looked for"):
        CliRunner().invoke(
            app,
            ["link", str(tmp_path / "CHN00" / "2000_2000_4000"), "--viewer", VIEWER, "--data", VIEWER],
            catch_exceptions=False,
        )
