"""What a network on a fabric costs, before anything is built or simulated."""
