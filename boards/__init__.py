"""The boards that carry the fabric: a file per board, with its clock, its link, and the preset that fits it."""

from .catalogue import boards, find

__all__ = ["boards", "find"]
