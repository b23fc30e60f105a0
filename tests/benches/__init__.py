"""cocotb benches on the project's Verilog, against the golden models.

    blocks.py       which bench has which blocks: a bench is added there
    plan.toml       what each bench must have seen: its coverage is held to all of it
    bench_*.py      the benches; they run inside of a simulator's process
    rig.py          what they share: cycles, streams, stalls, reset, scoreboard
    coverage.py     what was seen, against the plan
    launch.py       builds and runs a bench, and reads what became of it

`python -m tests.benches` runs all of them and prints the coverage.
"""
