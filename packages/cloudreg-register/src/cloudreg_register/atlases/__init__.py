"""Atlases: where they come from, their parts and halves."""
