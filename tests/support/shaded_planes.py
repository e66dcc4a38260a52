"""Planes of a phantom brain ten tiles wide through a known flat-field, as a camera records them."""

import numpy as np

from cloudreg_correct.overlap import Overlap
from cloudreg_io.synthetic import flat_field, make_phantom
from cloudreg_io.synthetic.camera import Camera
from cloudreg_io.synthetic.vignetting import dust

STEP = 0.85


def camera(family, seed, size=256, strength=0.5, background=110.0, slope=0.0, specks=0, saturation=4095):
    flat = flat_field(family, (size, size), strength, seed) * dust((size, size), specks, seed)
    y = np.linspace(-1, 1, size)[:, None]
    ground = np.broadcast_to(background + slope * y, (size, size)).astype(np.float32)
    return Camera(flat / flat.mean(), ground, 400.0, 1.0, 6.0, saturation)


def expose(camera, count, empty, seed):
    """`count` planes: the given share of them empty, the others pairs of neighbours; and the pairs."""
    size = camera.flat.shape[0]
    width = int(size * (1 + 9 * STEP))
    # texture as fine as at 2048 pixels a line: less of it is left in a block
    scene = make_phantom((width, int(0.8 * width), width), (0.6, 0.6, 0.6), seed, texture=0.1, cells=1e-6).scene(0)
    rng = np.random.default_rng([seed, 9])
    planes, overlaps = [], []
    while len(planes) < round(count * (1 - empty)):
        x, y, z = rng.integers(0, 9) * STEP * size, rng.integers(0, 7) * STEP * size, float(rng.integers(0, width))
        shift = (STEP * size, 0.0) if rng.random() < 0.5 else (0.0, STEP * size)
        pair = [
            scene.evaluate(
                x + k * shift[0] + rng.uniform(-2, 2), y + k * shift[1] + rng.uniform(-2, 2), z, (1, size, size)
            )[0]
            for k in (0, 1)
        ]
        if min(float((light > 0).mean()) for light in pair) > 0.05:
            overlaps.append(Overlap(len(planes), len(planes) + 1, shift))
            planes += [camera.expose(light, (seed, len(planes) + k)) for k, light in enumerate(pair)]
    while len(planes) < count:
        planes.append(camera.expose(np.zeros((size, size), np.float32), (seed, len(planes))))
    return np.stack(planes), overlaps


def error(found, truth):
    """RMS error of a flat-field in percent, after scale, over all pixels."""
    ratio = found / truth
    return 100 * float((ratio / ratio.mean()).std(dtype=np.float64))
