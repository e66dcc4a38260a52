"""LDDMM: the map is found, from an atlas and a sample made ready."""
