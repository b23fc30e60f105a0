"""Makes CXXRTL's C++ faster without changing what it computes, where every evaluation is a rising edge of the only clock.

    one state       a module's registers lie in two blocks, this cycle's and the next one's: what CXXRTL copies register by
                    register at the end of a cycle is one copy of memory
    one clock       what it was and what it is interests nobody: every module takes each evaluation for its edge
    idle writes     the data of a memory's write port are put together only in cycles that write

All are rewritings of text whose form `write_cxxrtl` gives; a form that is not found stays as it is.
"""

import re

_MODULE = re.compile(r"(?ms)^struct p_\w+ : public module \{\n.*?^\}; // struct")
_REGISTER = re.compile(r"\n\t(/\*output\*/ )?wire<(\d+)> (\w+);")
_ANY_REGISTER = re.compile(r"\n\t(/\*output\*/ )?wire<(\d+)> (\w+)\b")
_CLOCK = re.compile(r"(?m)^\t+(?:prev_p_(\w+) = p_\1|cell_\w+\.p_(\w*clk) = p_\2);\n")
_WRITE = re.compile(r"(?m)^(\t+)(memory_\w+)\.update\((.*)\);$")

_COMMIT = """\
		bool changed = std::is_same<ObserverT, watcher>::value && memcmp(&curr, &next, sizeof(state)) != 0;
		curr = next;
"""


def faster(model: str) -> str:
    """The C++ of a design, rewritten."""
    model = _CLOCK.sub("", model)
    model = _WRITE.sub(_write_when_enabled, model)
    if set(_REGISTER.findall(model)) != set(_ANY_REGISTER.findall(model)):
        return model  # registers that are declared otherwise: one state for some of them would not do
    model = _MODULE.sub(lambda module: _with_state(module[0]), model)
    model = re.sub(r"(?m)^\t(\w+) = wire<(\d+)>\{(.*)\};$", r"\tcurr.\1 = next.\1 = value<\2>{\3};", model)
    return re.sub(r"\b(\w+)\.(curr|next)\b", r"\2.\1", model)


def _with_state(module: str) -> str:
    """A module whose registers are members of `curr` and `next`; the top's outputs keep their names beside that."""
    registers = _REGISTER.findall(module)
    if not registers:
        return module
    head, rest = module.split("\n", 1)
    rest = _REGISTER.sub("", "\n" + rest)
    for _, _, name in registers:
        rest = rest.replace(f"\t\tif ({name}.commit(observer)) changed = true;\n", "")
    rest = rest.replace("\t\tbool changed = false;\n", _COMMIT, 1)
    members = "".join(f"\n\t\tvalue<{bits}> {name};" for _, bits, name in registers)
    outputs = ""
    if head.startswith("struct p_top :"):
        outputs = "".join(f"\n\tconst value<{bits}> &{name} = this->curr.{name};" for output, bits, name in registers if output)
    return f"{head}\n\tstruct state {{{members}\n\t}} curr, next;{outputs}{rest}"


def _write_when_enabled(write: re.Match[str]) -> str:
    """`update(address, data, mask, priority)` behind a look at its mask."""
    arguments = _arguments(write[3])
    if len(arguments) != 4:
        return write[0]
    address, data, mask, priority = arguments
    update = f"{write[2]}.update({address}, {data}, mask, {priority});"
    return f"{write[1]}if (auto mask = {mask}; !mask.is_zero()) {update}"


def _arguments(text: str) -> list[str]:
    """What stands between commas that are in no bracket. A `<` here is a template's: comparisons are functions in CXXRTL."""
    arguments, depth, begin = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "({[<") - (letter in ")}]>")
        if letter == "," and depth == 0:
            arguments.append(text[begin:place].strip())
            begin = place + 1
    return [*arguments, text[begin:].strip()]
