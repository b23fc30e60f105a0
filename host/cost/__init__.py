"""What a network costs before anything is built or run: cycles, memory, transfers."""
