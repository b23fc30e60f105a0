"""What happens to sums: partial sums, requantization, element-wise operations, and the way back to activation memory."""
