"""Start: the affine map from which the search for the map begins."""
