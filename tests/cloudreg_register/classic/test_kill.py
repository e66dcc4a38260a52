"""`register --classic` of a small brain, killed by the system while it works, goes on to the same bytes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloudreg_register.stage.registering import register_target
from support.brains import make_brain
from support.trees import difference, tree

pytestmark = pytest.mark.xdist_group("register")

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import torch
torch.set_num_threads(1)
torch.set_num_threads = lambda number: None  # as in all tests: the last bits depend on it
from cloudreg_register.classic import registration
from cloudreg_register.stage.registering import register_target
from support.brains import Brain

registration._KEPT_EVERY = 0.0

class Fuse:
    name, steps = "", 0
    def start(self, name, total, done=0): self.name = name
    def advance(self, n=1):
        self.steps += self.name == "register"
        if self.steps == 2: os.kill(os.getpid(), signal.SIGKILL)
    def note(self, text): pass
    def finish(self): pass

brain = Brain(Path(sys.argv[1]), None)
choice = brain.choice(classic=4, iterations=None)
register_target(brain.place("target"), Path(sys.argv[2]), choice, progress=Fuse())
"""


class Seen:
    """Steps of the registration that were done before."""

    def __init__(self):
        self.done = []

    def start(self, name, total, done=0):
        if name == "register":
            self.done.append((done, total))

    def advance(self, n=1):
        pass

    def note(self, text):
        pass

    def finish(self):
        pass


def test_killed_and_begun_anew_it_ends_in_the_same_bytes(tmp_path):
    brain, seen = make_brain(tmp_path / "brain"), Seen()
    choice = brain.choice(classic=4, iterations=None)
    register_target(brain.place("target"), tmp_path / "whole", choice)
    out = tmp_path / "out"
    words = [sys.executable, "-c", KILLED, str(brain.folder), str(out), str(Path(__file__).parents[2])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (out / "registration/transform").exists()
    register_target(brain.place("target"), out, choice, progress=seen)
    assert seen.done == [(2, 4)]
    assert difference(tree(tmp_path / "whole"), tree(out)) == []
