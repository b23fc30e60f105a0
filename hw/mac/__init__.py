"""The systolic MAC array: cells by precision, their weight banks, the array."""
