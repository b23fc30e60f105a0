"""`make bench`: cycles, time and speed of the MLPerf Tiny models; prints tables and writes bench.json.

Runs the four models on every input beside them in ../shared, each output compared with the reference's; without ../shared,
the project's own digits network. Times are of this machine, now: read the ratios.
"""
