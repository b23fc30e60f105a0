"""From RTLIL to a bitstream, one module a family: the tools' command lines, what they report, what they write."""
