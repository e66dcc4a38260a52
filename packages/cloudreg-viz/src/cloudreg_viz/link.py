"""Links: a viewer's address with the whole state in its fragment.

The fragment stays in the browser: no server sees what is looked at, and none has to keep it.
"""

from __future__ import annotations

import json
from urllib.parse import quote, unquote, urlsplit

from cloudreg_io.errors import InputError
from cloudreg_viz.state import State

DATA_SCHEMES = ("https", "http", "s3", "gs")

# Chromium refuses addresses longer than 2 MiB.
MAX_LINK = 2_000_000


def link(state: State, viewer: str) -> str:
    """The address that opens `state` in the Neuroglancer at `viewer`.

    Parameters
    ----------
    state : dict
        See `viewer_state`.
    viewer : str
        http(s) address of a Neuroglancer.

    Raises
    ------
    InputError
        When the address is not one of a web page, or the link would be longer than browsers take (2 MB).
    """
    parts = urlsplit(viewer)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise InputError(
            f"{viewer!r} is not the address of a viewer",
            fix="give the address of a Neuroglancer without its state: --viewer https://host/path",
        )
    text = json.dumps(state, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    url = f"{viewer}#!{quote(text, safe='')}"
    if len(url) > MAX_LINK:
        raise InputError(
            f"the link has {len(url):,} characters; browsers take {MAX_LINK:,}",
            why="the state holds too many layers or too long addresses for a link",
            fix=f"write the state to a file (--state FILE), put it at a web address with CORS, "
            f"and open {viewer}#!https://…/FILE",
        )
    return url


def check_data_address(address: str) -> str:
    """An address where a browser can read volumes, without a slash at its end.

    Raises
    ------
    InputError
        When it is a local path, or of a scheme that Neuroglancer does not read.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in DATA_SCHEMES or not rest.strip("/"):
        raise InputError(
            f"a browser cannot read {address!r}",
            why=f"a link works with data at {', '.join(f'{name}://' for name in DATA_SCHEMES)}",
            fix="give the address of the copy with --data, or use `cloudreg viz serve` for a local folder",
        )
    return address.rstrip("/")


def parse_link(url: str) -> State:
    """The state in a link.

    Raises
    ------
    InputError
        When the address has no state in its fragment.
    """
    fragment = unquote(urlsplit(url).fragment)
    try:
        state = json.loads(fragment.removeprefix("!")) if fragment.startswith("!") else None
    except json.JSONDecodeError as error:
        raise InputError(f"the state in the link is not JSON: {error}") from error
    if not isinstance(state, dict):
        raise InputError("the link holds no state", why="a state begins with #! and a brace")
    return state
