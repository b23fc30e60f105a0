"""Stands for components: they give whatever they like, so that what holds of the wires around them needs nothing of them.

What they like is then narrowed to what other proofs have shown.
"""

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out
from formal.prover import Proof


@contextlib.contextmanager
def standing(proof: Proof, module: ModuleType, *names: str) -> Iterator[list[Any]]:
    """While it lasts, components of these names are stands in the module; gives those that were made."""
    made: list[Any] = []
    before = {name: getattr(module, name) for name in names}

    def stand_for(kind: Any) -> Any:
        class Stand(kind):
            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **options)
                made.append(self)

            def elaborate(self, platform: Any) -> Module:
                m = Module()
                for path, member, value in self.signature.flatten(self):
                    if member.flow == Out:
                        name = "_".join(("given", str(made.index(self)), *map(str, path)))
                        m.d.comb += Value.cast(value).eq(proof.free(len(Value.cast(value)), name))
                return m

        Stand.__name__ = kind.__name__
        return Stand

    for name, kind in before.items():
        setattr(module, name, stand_for(kind))
    try:
        yield made
    finally:
        for name, kind in before.items():
            setattr(module, name, kind)


def streams_of(component: Any, flow: Any) -> list[tuple[str, Any]]:
    """The streams that a component takes (`In`) or gives (`Out`)."""
    return [
        (name, getattr(component, name))
        for name, member in component.signature.members.items()
        if member.is_signature and isinstance(member.signature, stream.Signature) and member.flow == flow
    ]


def drive(proof: Proof, component: Any) -> None:
    """Whatever the solver likes on every input; on streams, what their contract allows."""
    taken, given = (dict(streams_of(component, flow)) for flow in (In, Out))
    for name, port in taken.items():
        proof.gives_stream(port, name)
    for name, port in given.items():
        proof.m.d.comb += port.ready.eq(proof.free(1, f"{name}_ready"))
    for path, member, value in component.signature.flatten(component):
        if member.flow == In and path[0] not in {*taken, *given}:
            value = Value.cast(value)
            proof.m.d.comb += value.eq(proof.free(len(value), "_".join(map(str, path))))
