"""Stage: the work of `cloudreg register` and of its part in `cloudreg run`, in an OUT folder."""
