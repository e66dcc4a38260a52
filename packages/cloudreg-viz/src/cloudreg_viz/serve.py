"""The viewer on this machine: data and Neuroglancer's own client from one server on the loopback device.

The client is the one that the PyPI package `neuroglancer` brings. It is made for that package's own server
(as plain files it stops: it looks for its token in the address), so that server runs here, and the volumes'
files are added to it: one port, which is all that an SSH tunnel needs. Nothing is asked from any other host.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from cloudreg_io.errors import InputError, ToolError
from cloudreg_viz.outputs import NO_AFFINES, find_outputs, local_folder, state_of
from cloudreg_viz.state import State

LOOPBACK = "127.0.0.1"
# A Host header of another name is a page elsewhere whose name was made to point here (DNS rebinding).
_HOSTS = r"(127\.0\.0\.1|localhost)"


@dataclass(frozen=True, slots=True)
class Served:
    """A running viewer.

    Parameters
    ----------
    link : str
        Address of the page; it holds the secret that opens it.
    data : str
        Address of the volumes' files, for another Neuroglancer on this machine.
    state : dict
        What is shown.
    """

    link: str
    data: str
    state: State


@contextmanager
def serving(out: str | Path, *, port: int = 0, affines: Mapping[str, ArrayLike] = NO_AFFINES) -> Iterator[Served]:
    """Serve a run's volumes, or one precomputed folder, until the context is left.

    Parameters
    ----------
    out : str or Path
        A local folder; see `cloudreg_viz.outputs.find_outputs`.
    port : int
        Port on 127.0.0.1; 0 for any that is free.
    affines : mapping of str to array_like
        See `cloudreg_viz.outputs.state_of`.

    Raises
    ------
    NotFoundError
        When nothing there can be shown.
    InputError
        When `out` is not a local folder.
    ToolError
        When the port is taken, or `neuroglancer` is not installed.
    """
    root = local_folder(out)
    if root is None:
        raise InputError(
            f"{out} is not a folder of this machine",
            fix=f"for data in a store: cloudreg viz link {out} --viewer ADDRESS-OF-A-NEUROGLANCER",
        )
    outputs = find_outputs(root)
    neuroglancer = _neuroglancer()
    _start(neuroglancer, port)
    try:
        viewer = neuroglancer.Viewer()
        address = neuroglancer.server.get_server_url()
        data = f"{address}/data/{viewer.token}"
        _add_data(neuroglancer, viewer.token, {output.path: root / output.path for output in outputs})
        state = state_of(outputs, data, affines)
        viewer.set_state(state)
        yield Served(viewer.get_viewer_url(), data, state)
    finally:
        neuroglancer.server.stop()


def _neuroglancer() -> Any:
    try:
        import neuroglancer  # an extra, and slow to load
        import neuroglancer.server
    except ImportError as error:
        raise ToolError(
            "the viewer needs the package neuroglancer",
            why=str(error),
            fix="pip install 'cloudreg-viz[serve]'",
        ) from error
    return neuroglancer


def _start(neuroglancer: Any, port: int) -> None:
    """Start the package's server; it has one per process."""
    if neuroglancer.server.is_server_running():
        raise ToolError("a Neuroglancer server is running in this process already", fix="stop it first")
    neuroglancer.set_server_bind_address(LOOPBACK, port)
    try:
        neuroglancer.server.start()
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise ToolError(
            f"port {port} of {LOOPBACK} {'is taken' if taken else f'cannot be used: {error}'}",
            why="another program, or another `viz serve`, listens there" if taken else "",
            fix="choose another with --port, or leave --port out",
        ) from error


def _add_data(neuroglancer: Any, token: str, volumes: Mapping[str, Path]) -> None:
    """Give the package's server a route to the volumes' files."""
    from cloudreg_viz.data_server import VolumeFileHandler  # tornado comes with the extra

    app = neuroglancer.server.global_server.app
    app.add_handlers(_HOSTS, [(rf"/data/{token}/(.*)", VolumeFileHandler, {"volumes": dict(volumes)})])
