import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_stitch.solve import Link, solve


def grid_links(rows, columns, seed, wrong=0.0, noise=0.02):
    """Stage positions, true positions, links, and which of these are right."""
    rng = np.random.default_rng(seed)
    stage = np.array([(900.0 * c, 900.0 * r, 0.0) for r in range(rows) for c in range(columns)])
    true = stage + rng.uniform(-10, 10, stage.shape)
    links, right = [], []
    for i in range(rows * columns):
        right_of, below = (
            (i + 1 if (i + 1) % columns else None),
            (i + columns if i + columns < len(stage) else None),
        )
        for j in filter(None, (right_of, below)):
            good = rng.random() >= wrong
            off = rng.normal(0, noise, 3) if good else rng.uniform(-30, 30, 3) * (1, 1, 0.3)
            step = true[j] - true[i] if good else stage[j] - stage[i]
            links.append(Link(i, j, tuple(step + off), (0.02, 0.02, 0.02)))
            right.append(good)
    return stage, true, links, np.array(right)


def error(positions, true):
    difference = positions - true
    return np.linalg.norm(difference - np.median(difference, axis=0), axis=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1000))
def test_consistent_displacements_are_met(rows, columns, seed):
    stage, true, links, _ = grid_links(rows, columns, seed, noise=0)
    solution = solve(stage, links)
    assert error(solution.positions, true).max() < 1e-3
    assert solution.used.all()
    # the weak ties keep the whole where the stage has it
    assert np.allclose(solution.positions.mean(axis=0), stage.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_wrong_displacements_do_not_matter(seed):
    stage, true, links, right = grid_links(6, 7, seed, wrong=0.1)
    solution = solve(stage, links, trust=[1.0 if good else 0.4 for good in right])
    degree = np.zeros(len(stage), int)
    for link, good in zip(links, right, strict=True):
        degree[[link.a, link.b]] += good
    assert error(solution.positions, true)[degree >= 2].max() < 0.1
    assert (solution.used == right).mean() > 0.95


def test_parts_that_no_displacement_connects_are_placed_by_the_stage():
    stage, true, links, _ = grid_links(1, 4, seed=1, noise=0)
    solution = solve(stage, [links[0], links[2]])
    assert solution.component[0] == solution.component[1] != solution.component[2] == solution.component[3]
    for part in ([0, 1], [2, 3]):
        assert np.allclose(solution.positions[part].mean(axis=0), stage[part].mean(axis=0), atol=1e-6)
        assert np.allclose(np.diff(solution.positions[part], axis=0), np.diff(true[part], axis=0), atol=1e-4)


def test_fixed_tiles_stay():
    stage, true, links, _ = grid_links(2, 3, seed=2, noise=0)
    fixed = np.array([True, False, False, False, False, True])
    stage[fixed] = true[fixed] + np.array([100, 50, 1])
    solution = solve(stage, links, fixed)
    assert (solution.positions[fixed] == stage[fixed]).all()
    assert np.allclose(solution.positions, true + np.array([100, 50, 1]), atol=1e-3)


def test_no_displacement_at_all():
    stage = np.arange(6.0).reshape(2, 3)
    solution = solve(stage, [])
    assert (solution.positions == stage).all()
    assert list(solution.component) == [0, 1]


def test_two_that_contradict_each_other_are_settled_by_trust():
    stage = np.zeros((2, 3))
    links = [Link(0, 1, (5.0, 0.0, 0.0), (0.1,) * 3), Link(0, 1, (-20.0, 0.0, 0.0), (0.1,) * 3)]
    for trust, expected in (((0.9, 0.2), 5.0), ((0.2, 0.9), -20.0)):
        solution = solve(stage, links, trust=trust)
        assert solution.positions[1, 0] - solution.positions[0, 0] == pytest.approx(expected, abs=0.01)
