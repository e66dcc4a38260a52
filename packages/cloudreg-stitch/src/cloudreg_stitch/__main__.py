"""`python -m cloudreg_stitch` is `cloudreg-stitch`."""

from cloudreg_stitch.cli import main

main()
