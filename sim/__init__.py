"""Simulation: golden models in NumPy, and the gateware itself, cycle by cycle, through CXXRTL."""
