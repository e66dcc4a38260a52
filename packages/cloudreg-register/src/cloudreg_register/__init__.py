"""Registration of a brain to an atlas by EM-LDDMM. Nothing of it is built in this version."""

__version__ = "0.1.0"
