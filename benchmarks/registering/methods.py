"""Methods by name: each takes a case and gives `Maps`; all but cloudreg are peers that may not be installed."""

import importlib.util
from dataclasses import asdict, replace

import numpy as np

from cloudreg_io.space import Affine
from registering import cases, measures, peers
from registering.fields import Maps

NEEDS = dict.fromkeys(peers.GREEDY, "picsl_greedy") | {
    "syn": "ants",
    "dipy": "dipy",
    "cloudreg": "torch",
    "identity": "numpy",
}


def installed(method):
    return importlib.util.find_spec(NEEDS[method]) is not None


def run(method, case, threads, options):
    if method in peers.GREEDY:
        return peers.greedy(case, peers.GREEDY[method], threads, masked=method == peers.MASKED, **options)
    return {"syn": peers.syn, "dipy": peers.dipy, "cloudreg": cloudreg, "identity": identity}[method](
        case, threads, **options
    )


def identity(case, threads):
    """Both centres on each other and nothing else: where every method begins."""
    del threads
    shift = np.array(case.target_grid.centre) - case.atlas_grid.centre
    return Maps(lambda points: points + shift, lambda points: points - shift)


def cloudreg(case, threads, **options):
    """options: those of `RegisterOptions`; search; classic (number of iterations); effort (× the iterations);

    start (number of a wrong start: see `cases.motion`); follow (the error after every step goes to "followed").
    """
    target, template = images(case)
    followed = []
    if options.pop("follow", False):
        options["watch"] = follower(case, template, target, followed)
    result = registered(target, template, case, threads, **options)
    transform = result.transform
    confidence = None
    if transform.confidence is not None:

        def confidence(points):
            return transform.confidence_at(transform.to_target(points)[0])

    return Maps(
        lambda points: transform.to_target(points)[0],
        lambda points: transform.to_atlas(points)[0],
        confidence,
        {"history": history(result)} | ({"followed": followed} if followed else {}),
    )


def images(case):
    """Target and atlas, as they are registered."""
    from cloudreg_register.images.image import Image

    template = np.asarray(case.atlas, np.float32)
    return (
        Image.of_array(case.target, case.target_grid.spacing, case.orientation, "target"),
        Image.of_array(template, case.atlas_grid.spacing, case.orientation, "atlas"),
    )


def follower(case, atlas, target, followed):
    """What adds the mean error of valid landmarks to a list after every step."""
    from cloudreg_register.transforms.transform import Transform

    def watch(state, objective):
        if len(state.history) == len(followed):  # a step that was taken back
            return
        at, grid = state.at, objective.on_velocity.grid
        transform = Transform(Affine(at.affine.numpy()), at.velocity.numpy(), grid, atlas.frame, target.frame)
        found = measures.landmarks(case, Maps(lambda points: transform.to_target(points)[0], None))
        followed.append(found["valid_mean"])

    return watch


def registered(
    target, template, case, threads, *, search=False, start=None, classic=None, effort=1.0, watch=None, **given
):
    from cloudreg_register.classic.registration import register_classic
    from cloudreg_register.lddmm.registration import register
    from cloudreg_register.start.initial import initial_affine
    from cloudreg_register.start.search import search_start

    chosen = register_options(case, threads, effort, given)
    if classic:
        return register_classic(target, template, chosen, iterations=classic)
    begin = initial_affine(template.orientation, target.orientation)
    if start is not None:
        begin = cases.motion(start) @ begin
    if search:
        begin = search_start(target, template, begin, chosen)[0].affine
    return register(target, template, chosen, start=begin, watch=watch)


def register_options(case, threads, effort, given):
    """Options from JSON: lists are tuples there."""
    from cloudreg_register.lddmm.options import RegisterOptions

    given = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    defaults = {"resolution": float(max(case.atlas_grid.spacing)), "threads": threads}
    chosen = RegisterOptions(**(defaults | given))
    if effort == 1:
        return chosen
    return replace(chosen, iterations=tuple(max(1, round(effort * n)) for n in chosen.iterations))


def history(result):
    """The steps as plain numbers."""
    return [
        {key: value for key, value in asdict(step).items() if isinstance(value, (int, float))}
        for step in result.history
    ]
