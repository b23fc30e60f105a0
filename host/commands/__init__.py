"""The commands of `celosia`, one to a file.

A command is a module with `SUMMARY`, one line for the help, `configure(parser)`, which adds its arguments, and
`execute(arguments) -> int`, which does the work and returns the exit code. `configure` imports nothing heavy.
"""
