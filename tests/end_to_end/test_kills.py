"""Ten kills -9 of `cloudreg run`, each followed at once by the same command; `hatch run soak` fires a hundred."""

import pytest

from support.kills import VICTIMS, Kill, Rig, make_raw

pytestmark = pytest.mark.xdist_group("kills")


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    place = tmp_path_factory.mktemp("kills")
    # a machine at work on other tests may be slow to bury the dead; the soak allows them one second
    return Rig(place / "rig", make_raw(place / "raw"), patience=10.0)


@pytest.mark.parametrize(
    ("mode", "victims"),
    [
        ("jobs", ("parent", "worker", "all", "parent", "worker")),
        ("mpi", ("mpirun", "proxy", "rank 0", "rank", "all")),
    ],
)
def test_killed_again_and_again_the_bytes_are_the_same(rig, mode, victims):
    assert set(victims) == set(VICTIMS[mode])
    step = len(rig.events) // (len(victims) + 1)
    chain = rig.chain(mode, [Kill(victim, step, torn=True) for victim in victims])
    for fired in chain.fired:
        hit = fired.hit
        print(f"{fired.kill.victim}: {hit['event']}, {hit['stage']}: {hit['place']}")  # noqa: T201 -- what was hit
    assert chain.faults == []
    assert len(chain.fired) == len(victims)
    assert len({fired.hit["stage"] for fired in chain.fired}) >= 4
