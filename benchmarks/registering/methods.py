"""Methods by name: each takes a case and gives `Maps`; all but cloudreg are peers that may not be installed."""

import importlib.util

import numpy as np

from registering import peers
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
        return peers.greedy(case, peers.GREEDY[method], threads, **options)
    return {"syn": peers.syn, "dipy": peers.dipy, "cloudreg": cloudreg, "identity": identity}[method](
        case, threads, **options
    )


def identity(case, threads):
    """Both centres on each other and nothing else: where every method begins."""
    del threads
    shift = np.array(case.target_grid.centre) - case.atlas_grid.centre
    return Maps(lambda points: points + shift, lambda points: points - shift)


def cloudreg(case, threads, **options):
    import torch

    from cloudreg_register.image import Image
    from cloudreg_register.registration import RegisterOptions, register

    torch.set_num_threads(threads)
    target = Image.of_array(case.target, case.target_grid.spacing, case.orientation, "target")
    template = Image.of_array(
        np.asarray(case.atlas, np.float32), case.atlas_grid.spacing, case.orientation, "atlas"
    )
    options.setdefault("resolution", float(max(case.atlas_grid.spacing)))
    result = register(target, template, options=RegisterOptions(**options))
    transform = result.transform
    confidence = None
    if transform.confidence is not None:

        def confidence(points):
            index = transform.confidence_grid.index_of(points - transform.atlas.centre)
            size = np.array(transform.confidence_grid.size)
            x, y, z = np.clip(np.rint(index).astype(int), 0, size - 1).T
            return transform.confidence[z, y, x]

    return Maps(
        lambda points: transform.to_target(points)[0],
        lambda points: transform.to_atlas(points)[0],
        confidence,
        {"history": history(result)},
    )


def history(result):
    """Energy by iteration, as plain numbers."""
    entries = [getattr(entry, "energy", entry) for entry in getattr(result, "history", ())]
    return [float(entry) for entry in entries if np.isscalar(entry)]
