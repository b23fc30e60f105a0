"""The way from a host to the fabric: bytes over a UART, frames that survive a bad line, the fabric's two streams."""
