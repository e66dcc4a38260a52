"""Transforms: the map kept in a folder, applied to points, images and labels, and brought to other programs."""
