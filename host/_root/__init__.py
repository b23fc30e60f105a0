"""Celosia: neural-network accelerators from Python to bitstream."""

__version__ = "0.1.0"
