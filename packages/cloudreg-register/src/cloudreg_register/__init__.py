"""Registration of a brain to an atlas by EM-LDDMM, transforms, and tables of regions."""

__version__ = "0.1.0"
