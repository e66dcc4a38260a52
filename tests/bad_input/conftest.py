"""The folder, the stock and the bucket of a case; `--write-table` writes `docs/bad-input.md` anew."""

from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.cloudreg_io.conftest import s3, s3_endpoint  # noqa: F401 -- fixtures

from bad_input.elsewhere import ELSEWHERE
from bad_input.faulty_s3 import faulty
from bad_input.page import PAGE, page
from bad_input.place import Place
from bad_input.table import GROUPS
from cloudreg_io.files import store


def pytest_addoption(parser):
    parser.addoption("--write-table", action="store_true", help="Write docs/bad-input.md from what is said now.")


@dataclass
class Bucket:
    """An empty bucket on a loopback server, and the way to put faults between."""

    bucket: str
    endpoint: str
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    faults: tuple = ()

    def change(self, faults, attempts, environment):
        """From now on there are faults, other numbers of attempts, other variables of the environment."""
        self.faults = faults
        self.monkeypatch.setattr(store, "_ATTEMPTS", attempts)
        address = self.stack.enter_context(faulty(self.endpoint, faults))
        for name, value in ({"AWS_ENDPOINT_URL": address} | environment).items():
            if value is None:
                self.monkeypatch.delenv(name)
            else:
                self.monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def stock(tmp_path_factory):
    """Where what takes long to make is kept from case to case."""
    return tmp_path_factory.mktemp("stock")


@pytest.fixture(scope="session")
def writing(request):
    """Whether the page is to be written anew, not compared."""
    return request.config.getoption("--write-table", default=False)


@pytest.fixture(scope="session")
def told(writing):
    """What the cases of this process said, by number."""
    said = {}
    yield said
    if writing:
        PAGE.write_text(page(GROUPS, said, ELSEWHERE))


@pytest.fixture
def bucket(request, monkeypatch):
    """A bucket with the way to put faults between."""
    with ExitStack() as stack:
        yield Bucket(request.getfixturevalue("s3"), request.getfixturevalue("s3_endpoint"), monkeypatch, stack)


@pytest.fixture
def place(request, case, tmp_path, stock):
    """The empty folder of a case; with a bucket where it needs one."""
    return Place(tmp_path, stock, request.getfixturevalue("bucket") if case.bucket else None)
