"""The boards that carry the fabric: a file per board, with its clock, its link, and the preset that fits it."""
