"""The XNOR engine: binary layers, one bit an activation and one a weight."""
