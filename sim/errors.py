"""The errors a user of Celosia can meet: each is one sentence that names what, where, what is needed and what to do.

They live in `sim`, the lowest room that can fail at run time, and are offered to users as `celosia.ModelError` and so on.
"""


class CelosiaError(Exception):
    """Base of the family. The command line prints the sentence and exits with `exit_code`."""

    exit_code = 1


class ModelError(CelosiaError):
    """The model file or the input is not what it must be: truncated, foreign, float, wrong shape or type."""


class CapacityError(CelosiaError):
    """The model is sound, but this fabric is too small for it: the sentence gives need against have."""


class ToolError(CelosiaError):
    """A tool of the machine is missing or failed: the C++ compiler, Yosys, the disk, the cache."""


class DeviceError(CelosiaError):
    """The device did not answer, answered something else, or was taken away."""
