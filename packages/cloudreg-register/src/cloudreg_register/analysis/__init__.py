"""Analysis: what the map says of regions, and how good it is."""
