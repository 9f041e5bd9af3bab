"""Run a scripted network statement by statement, so that hooks see its modules.

TorchScript runs a network in its own interpreter, where hooks see no modules. Here Python makes the calls: each module
walks the graph of its ``forward``, calls the modules in it, and lets TorchScript run every other statement. Modules
called inside conditions or loops run as part of those and stay hidden; so do the modules inside one that changes lists,
because statements that run separately would each see a copy of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ..architectures.forced import ForcedUnits

CHANGES = re.compile(r"aten::(append|extend|insert|pop|remove|clear|reverse|sort|_set_item|__setitem__|Delete)\(")
"""Statements that modify a list or a dict."""

CALLS = re.compile(r"forward\d*")
"""Methods that run when a module is called; a module that was traced twice has a second, numbered one."""

Values = dict[str, Any]
"""Values of the names in a graph; modules are `ScriptedModule`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a graph.

    Args:
        inputs: Names of its inputs.
        outputs: Names of its outputs; possibly none.
        run: Function that computes the outputs from the inputs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[..., Any]

    def __call__(self, values: Values) -> None:
        """Run the statement on ``values``, and store its outputs there."""
        results = self.run(*(values[name] for name in self.inputs))
        values.update(
            zip(self.outputs, results if len(self.outputs) != 1 else (results,), strict=True) if self.outputs else ()
        )


@dataclass(frozen=True, slots=True)
class Program:
    """A method of a scripted module.

    Args:
        inputs: Names of its inputs, the module first.
        statements: Its statements; None if it can only be run as a whole.
        output: Name of its return value.
        defaults: Default values of its last arguments.
    """

    inputs: tuple[str, ...]
    statements: tuple[Statement, ...] | None
    output: str
    defaults: tuple[Any, ...]


class ScriptedModule(nn.Module):
    """A scripted module whose submodules are called from Python; its parameters are those of the script.

    Args:
        script: Module returned by ``torch.jit.load``, ``torch.jit.script`` or ``torch.jit.trace``.
    """

    script: torch.jit.ScriptModule

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        object.__setattr__(self, "script", script)  # must not become a submodule
        self._programs: dict[str, Program] = {}
        for name, child in script.named_children():
            if isinstance(child, torch.jit.ScriptModule):
                self.add_module(name, ScriptedModule(child))
        self.training = False
        self._collect()

    def forward(self, *arguments: Any, method: str = "forward") -> Any:
        """Return the output of the script's ``forward``, or of another method."""
        return self.call(method, *arguments)

    def call(self, method: str, *arguments: Any) -> Any:
        """Return the output of a method of the script."""
        program = self._programs.get(method) or self._programs.setdefault(method, _read_program(self.script, method))
        if program.statements is None:
            return getattr(self.script, method)(*map(_unwrap, arguments))
        missing = len(program.inputs) - 1 - len(arguments)
        defaults = program.defaults[len(program.defaults) - missing :] if missing > 0 else ()
        values = dict(zip(program.inputs, (self, *arguments, *defaults), strict=True))
        for statement in program.statements:
            statement(values)
        return values[program.output]

    def _collect(self) -> None:
        self._parameters.update(self.script.named_parameters(recurse=False))
        self._buffers.update(self.script.named_buffers(recurse=False))

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> ScriptedModule:
        """Apply ``fn`` to the script, which owns the parameters, and to the modules that force units."""
        self.script._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives no types here
        for part in self.modules():
            if isinstance(part, ScriptedModule):
                part._collect()
            elif isinstance(part, ForcedUnits):
                part.forced, part.values = fn(part.forced), fn(part.values)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ScriptedModule:
        copy = ScriptedModule(deepcopy(self.script, memo))
        _copy_forced_units(self, copy)
        return copy


def _copy_forced_units(old: nn.Module, new: nn.Module) -> None:
    """Copy the forced units of a network into its copy."""
    for name, child in old._modules.items():
        inner, own = (child.stage if isinstance(child, ForcedUnits) else child), new._modules[name]
        if inner is None or own is None:
            continue
        _copy_forced_units(inner, own)
        if isinstance(child, ForcedUnits):
            forced_units = ForcedUnits(own, len(child.forced)).eval()
            forced_units.forced, forced_units.values = child.forced.clone(), child.values.clone()
            new._modules[name] = forced_units


def _read_program(script: Any, method: str) -> Program:
    compiled = script._c._get_method(method)
    graph, arguments = compiled.graph, compiled.schema.arguments
    defaults = tuple(argument.default_value for argument in arguments if argument.has_default_value())
    inputs = tuple(value.debugName() for value in graph.inputs())
    (output,) = (value.debugName() for value in graph.outputs())
    whole = CHANGES.search(str(graph)) is not None
    return Program(inputs, None if whole else tuple(_read_statements(graph)), output, defaults)


def _read_statements(graph: Any) -> list[Statement]:
    statements = []
    for node in graph.nodes():
        inputs = tuple(value.debugName() for value in node.inputs())
        outputs = tuple(value.debugName() for value in node.outputs())
        if node.kind() == "prim::GetAttr":
            statements.append(Statement(inputs, outputs, partial(_read_attribute, node.s("name"))))
        elif node.kind() == "prim::CallMethod":
            statements.append(Statement(inputs, outputs, partial(_call, node.s("name"))))
        elif _is_constant(node, "TensorType"):
            statements.append(Statement((), outputs, partial(_read_constant, node.output())))
        elif not _is_constant(node, "FunctionType"):
            variables, run = _isolate(node)
            statements.append(Statement(variables, outputs, run))
    return statements


def _read_attribute(name: str, owner: Any) -> Any:
    child = owner._modules.get(name) if isinstance(owner, ScriptedModule) else None
    return getattr(_unwrap(owner), name) if child is None else child


def _call(method: str, owner: Any, *arguments: Any) -> Any:
    if isinstance(owner, nn.Module) and CALLS.fullmatch(method):
        return owner(*arguments) if method == "forward" else owner(*arguments, method=method)
    if isinstance(owner, ScriptedModule):
        return owner.call(method, *arguments)
    return getattr(owner, method)(*map(_unwrap, arguments))


def _isolate(node: Any) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """Return the names of a statement's inputs, and a function that runs it with its blocks and constants."""
    graph: Any = torch._C.Graph()  # torch's type stubs are incomplete
    names: dict[str, Any] = {}
    inputs: list[str] = []

    def place(value: Any) -> Any:
        name = value.debugName()
        if name not in names and value.node().kind() == "prim::Constant":
            names[name] = graph.appendNode(graph.createClone(value.node(), place)).output()
        if name not in names:
            names[name] = graph.addInput()
            tensor = value.type().kind() == "TensorType"  # of any shape, not only that of the trace
            names[name].setType(torch._C.TensorType.get() if tensor else value.type())
            inputs.append(name)
        return names[name]

    outputs = list(graph.appendNode(graph.createClone(node, place)).outputs())
    if len(outputs) != 1:  # a function returns one value
        together = graph.appendNode(graph.create("prim::TupleConstruct", outputs, 1)).output()
        together.setType(torch._C.TupleType([value.type() for value in outputs]))
        outputs = [together]
    graph.registerOutput(outputs[0])
    function = torch._C._create_function_from_graph("statement", graph)
    return tuple(inputs), lambda *arguments: function(*map(_unwrap, arguments))


def _is_constant(node: Any, kind: str) -> bool:
    """Return whether a node is a constant of a type."""
    return bool(node.kind() == "prim::Constant" and node.output().type().kind() == kind)


def _read_constant(output: Any) -> torch.Tensor:
    """Return a tensor constant of a trace, which Python would otherwise receive as a number."""
    value = output.toIValue()
    if isinstance(value, torch.Tensor):
        return value.to(output.type().dtype())
    return torch.tensor(value, dtype=output.type().dtype(), device="cpu")


def _unwrap(value: Any) -> Any:
    return value.script if isinstance(value, ScriptedModule) else value
