"""The libraries of the extra `quantize`, loaded when they are needed, or one sentence that says how to get them."""

from importlib import import_module
from typing import Any

from ...sim.errors import ToolError


def load(module: str) -> Any:
    """The module of that name. Raises ToolError where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ToolError(
            f"`celosia quantize` needs {module}, which is not installed ({error}): pip install 'celosia[quantize]'"
        ) from error
