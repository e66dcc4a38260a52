"""Alignment and fusion of light-sheet tiles, straight to Neuroglancer precomputed volumes.

`stitching.stitch` does all of it: the command. Its steps are `survey.survey` (one reading of every plane),
`align.place` (where each tile goes, a `placement.Placement`), `overview.overview` (a small copy of the whole)
and `fusion.fuse` (one channel to a volume). Import them from their modules: the package itself loads nothing.
"""

__version__ = "0.1.0"
