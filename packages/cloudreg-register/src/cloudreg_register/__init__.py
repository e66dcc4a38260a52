"""Registration of a brain to an atlas by EM-LDDMM."""

__version__ = "0.1.0"
