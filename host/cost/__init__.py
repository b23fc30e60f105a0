"""What a network on a fabric costs, before anything is built or simulated: cycles, memory, transfers, the chip's resources."""
