"""The gateware: the fabric in Amaranth, its configuration and its command set. Knows nothing of the other rooms."""
