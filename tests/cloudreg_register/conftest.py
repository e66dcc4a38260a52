"""One thread of torch for every test here: the tests run side by side, and threads that wait eat their time.

By module, not by session: commands that other tests run in the same process keep the number of threads that they
have on their own, on which the last bits of a map depend.
"""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "set_num_threads", lambda number: None)
        yield
    torch.set_num_threads(before)
