"""Runs a tool of PyPI that is WebAssembly: `python -P -m celosia.sim.wasm PACKAGE FUNCTION ARGUMENT...`.

The runtime gives such a tool 512 KiB of stack, which a large design exhausts: the tool ends with exit code 1, half an output
file and no message. Here it gets more. A process of its own keeps what may still go wrong away from ours.
"""

import importlib
import sys
import threading
from collections.abc import Sequence

_TOOL_STACK = 192 << 20  # bytes that the tool may use
_THREAD_STACK = 256 << 20  # bytes of the thread that it runs in: more, for the runtime's own frames


def command(package: str, function: str) -> tuple[str, ...]:
    """The command line that runs `package.function` so; the tool's arguments follow."""
    return (sys.executable, "-P", "-m", __name__, package, function)


def main(arguments: Sequence[str]) -> int:
    """Runs the tool and gives its exit code."""
    import wasmtime
    from wasmtime import _bindings

    package, function, *rest = arguments

    class DeepConfig(wasmtime.Config):
        def __init__(self) -> None:
            super().__init__()
            # The runtime refuses a stack above that of its asynchronous calls, which it does not use here.
            _bindings.wasmtime_config_async_stack_size_set(self.ptr(), _TOOL_STACK)
            self.max_wasm_stack = _TOOL_STACK

    wasmtime.Config = DeepConfig  # type: ignore[misc]
    threading.stack_size(_THREAD_STACK)
    code: int = getattr(importlib.import_module(package), function)(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
