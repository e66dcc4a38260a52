"""Preparation: what is done to a sample's brightness before the map is sought."""
