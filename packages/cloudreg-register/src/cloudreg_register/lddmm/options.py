"""Options: what the user decides about a registration."""

from __future__ import annotations

from dataclasses import dataclass

from cloudreg_io.errors import InputError
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterOptions:
    """What the user decides about a registration.

    Attributes
    ----------
    resolution : float or None
        Voxel size of the finest level, in µm. None: 1/132 of the atlas's longest extent; 100 µm for a mouse.
    mode : AffineMode or None
        None: affine; of the original (`classic`) fixed-scale.
    regularization : float or None
        Higher lets the map bend more: the norm of the velocity counts 1 / regularization². None: 4. Of the
        original it is σR, 5000 where it is None.
    iterations : (int, int, int)
        Most iterations at the coarsest level, at levels between, at the finest.
    contrast_order : int
        Of the polynomial from the atlas's brightness to the sample's.
    local_contrast : bool
        Fit the contrast in windows; else over the whole image.
    missing_data : bool
        Leave voxels out that are exactly 0.
    grid_correction, bias_correction : bool
        Flatten a grid of tiles; flatten slow illumination before registration.
    tolerance : float
        A level ends when its steps are shorter than this many of its voxels, in the mean over the tissue.
    threads : int
        Of torch; the result depends on it in the last bits.
    device : Device
        On a graphics card sums are not taken in a fixed order: results differ in the last bits from run to run.
    """

    resolution: float | None = None
    mode: AffineMode | None = None
    regularization: float | None = None
    iterations: tuple[int, int, int] = (20, 12, 16)
    contrast_order: int = 3
    local_contrast: bool = True
    missing_data: bool = True
    grid_correction: bool = False
    bias_correction: bool = False
    tolerance: float = 0.02
    threads: int = 2
    device: Device = Device.AUTO

    def __post_init__(self) -> None:
        if min(self.iterations) < 1:
            raise InputError(f"--iterations {self.iterations}: every level takes at least one", fix="1 or more")
        if self.regularization is not None and not self.regularization > 0:
            raise InputError(f"--regularization {self.regularization:g} is not positive", fix="about 4")
        if self.contrast_order < 1:
            raise InputError(
                f"a contrast of order {self.contrast_order} does not depend on the atlas", fix="1 to 3"
            )
