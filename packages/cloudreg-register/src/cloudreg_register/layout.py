"""Layout: where in an OUT folder a registration leaves what."""

TARGET = "target"  # the copy of a target that is a file
START = "registration/start.json"
TRANSFORM = "registration/transform"
LABELS, ATLAS_ON_TARGET = "registration/labels", "registration/atlas_on_target"
ON_ATLAS = "registration/on_atlas"  # a folder for each channel
STRUCTURES, TABLE = "registration/structures.csv", "registration/regions.csv"
RECORD = "qc/register.json"
PICTURES, START_PICTURE = "qc/register.npz", "qc/start.npz"
