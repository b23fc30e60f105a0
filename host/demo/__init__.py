"""The demo: a small network that reads handwritten digits, its training, and its run on the simulated fabric."""
