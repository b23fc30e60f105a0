"""Arguments that more than one command takes."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...hw.config import FabricConfig

DEFAULT_FABRIC = "ecp5-85"


class UsageError(Exception):
    """The command line does not make sense: one sentence, exit code 2."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """MODEL."""
    parser.add_argument("model", metavar="MODEL", help="the network: a quantized .tflite file, or a QONNX .onnx file")


def add_fabric(parser: argparse.ArgumentParser) -> None:
    """--fabric."""
    parser.add_argument(
        "--fabric",
        metavar="PRESET",
        default=DEFAULT_FABRIC,
        help="the fabric's preset, with sizes changed where wanted: ecp5-85,weight_depth=32 (default: %(default)s)",
    )


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return int(text)


def fabric_of(name: str) -> "FabricConfig":
    """The preset of that name. Raises UsageError."""
    from ...hw.presets import preset

    try:
        return preset(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
