"""What feeds the engines: activation memory, weight-buffer controller, window walker."""
