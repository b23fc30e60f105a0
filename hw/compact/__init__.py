"""The fabric for chips of a few thousand logic cells: the same commands and the same results, a row of the array at a time."""
