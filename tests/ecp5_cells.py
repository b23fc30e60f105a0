"""Behaviour of the ECP5's multiplier and block RAM, in Verilog, as far as the project's primitives use them.

Yosys brings no simulation models of these cells. Written from Lattice's memory and DSP usage guides; what a model does not
cover stops the simulation with an error instead of going wrong.
"""


def _ports(name, bits, direction):
    return [f"{direction} {name}{bit}" for bit in range(bits)]


def _bus(name, bits):
    return "{" + ", ".join(f"{name}{bit}" for bit in reversed(range(bits))) + "}"


_REGISTERS = ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")


def mult18x18d() -> str:
    """MULT18X18D: registers on CLK0 with CE0 and a synchronous RST0, or none."""
    ports = [
        *_ports("A", 18, "input"),
        *_ports("B", 18, "input"),
        *(f"input {name}" for name in ("SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB", "CLK0", "CE0", "RST0")),
        *_ports("P", 36, "output"),
    ]
    parameters = [f'parameter REG_{register}_{pin} = "{default}"' for register in _REGISTERS
                  for pin, default in (("CLK", "NONE"), ("CE", "CE0"), ("RST", "RST0"))]  # fmt: skip
    parameters += ['parameter CLK0_DIV = "ENABLED"', 'parameter GSR = "ENABLED"', 'parameter RESETMODE = "SYNC"']

    def stage(register, width, value, name):
        return f"""
    wire [{width - 1}:0] {name};
    generate if (REG_{register}_CLK == "CLK0") begin
        reg [{width - 1}:0] {name}_r = 0;
        always @(posedge CLK0) if (RST0) {name}_r <= 0; else if (CE0) {name}_r <= {value};
        assign {name} = {name}_r;
    end else assign {name} = {value}; endgenerate"""

    return f"""
module MULT18X18D #({", ".join(parameters)}) ({", ".join(ports)});
    {stage("INPUTA", 19, "{SIGNEDA & A17, " + _bus("A", 18) + "}", "a")}
    {stage("INPUTB", 19, "{SIGNEDB & B17, " + _bus("B", 18) + "}", "b")}
    wire [37:0] product = $signed(a) * $signed(b);
    {stage("PIPELINE", 36, "product[35:0]", "p")}
    {stage("OUTPUT", 36, "p", "q")}
    assign {_bus("P", 36)} = q;
    generate if (RESETMODE != "SYNC") initial $error("not modelled"); endgenerate
endmodule
"""


def dp16kd() -> str:
    """DP16KD: port A writes, port B reads, of one width; with 36 bits both ports' data are port B's. Contents begin as zeros,
    and no reset comes."""
    ports = []
    for side in "AB":
        ports += [*_ports(f"AD{side}", 14, "input"), *_ports(f"DI{side}", 18, "input"), *_ports(f"DO{side}", 18, "output")]
        ports += [f"input {pin}{side}" for pin in ("CLK", "CE", "OCE", "RST", "WE")] + _ports(f"CS{side}", 3, "input")
    parameters = [f'parameter {name}_{side} = {default}' for side in "AB"
                  for name, default in (("DATA_WIDTH", "18"), ("REGMODE", '"NOREG"'), ("WRITEMODE", '"NORMAL"'),
                                        ("CSDECODE", '"0b000"'))]  # fmt: skip
    parameters += [f'parameter CLK{side}MUX = "CLK{side}"' for side in "AB"]
    parameters += ['parameter RESETMODE = "SYNC"', 'parameter ASYNC_RESET_RELEASE = "SYNC"', 'parameter GSR = "ENABLED"']
    contents = [f"INITVAL_{line:02X}" for line in range(64)]
    parameters += [f"parameter [319:0] {name} = 0" for name in contents]
    return f"""
module DP16KD #({", ".join(parameters)}) ({", ".join(ports)});
    localparam W = DATA_WIDTH_A;
    localparam LOW = W == 36 ? 5 : W == 18 ? 4 : W == 9 ? 3 : W == 4 ? 2 : W == 2 ? 1 : 0;
    wire [13:0] address_a = {_bus("ADA", 14)}, address_b = {_bus("ADB", 14)};
    wire [35:0] given = {{{_bus("DIB", 18)}, {_bus("DIA", 18)}}};
    // Wide words have byte enables on their lowest address bits; a word of 36 bits has no write enable beside them.
    wire enable = CEA && !CSA0 && !CSA1 && !CSA2 && (W == 36 || WEA);
    wire [3:0] bytes = W == 36 ? address_a[3:0] : W == 18 ? {{2'b00, address_a[1:0]}} : 4'b0001;
    reg [W-1:0] memory [0:(1 << (14 - LOW)) - 1];
    integer i;
    initial for (i = 0; i < (1 << (14 - LOW)); i = i + 1) memory[i] = 0;
    reg [W-1:0] latch = 0, register = 0;
    wire [W-1:0] mask;
    genvar k;
    generate for (k = 0; k < W; k = k + 1) assign mask[k] = bytes[W >= 18 ? k / 9 : 0]; endgenerate
    always @(posedge CLKA) if (enable) memory[address_a[13:LOW]] <= (memory[address_a[13:LOW]] & ~mask) | (given[W-1:0] & mask);
    always @(posedge CLKB) begin
        if (CEB) latch <= memory[address_b[13:LOW]];
        if (OCEB) register <= latch;
    end
    wire [35:0] out = REGMODE_B == "OUTREG" ? register : latch;
    assign {_bus("DOA", 18)} = W == 36 ? out[17:0] : 18'b0;
    assign {_bus("DOB", 18)} = W == 36 ? out[35:18] : out[17:0];
    generate if (DATA_WIDTH_A != DATA_WIDTH_B || (W == 36 && REGMODE_A != REGMODE_B) || {" || ".join(contents)})
        initial $error("not modelled");
    endgenerate
endmodule
"""
