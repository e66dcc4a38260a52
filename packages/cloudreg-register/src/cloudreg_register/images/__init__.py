"""Images: volumes as registration takes them, where their coordinates are, and what in them is tissue."""
