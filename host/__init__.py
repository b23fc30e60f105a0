"""What runs on the CPU: from a model file to commands for the fabric, and from its answers to a report."""
