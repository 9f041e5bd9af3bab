"""Find the networks in a checkpoint: their tensors by name, and the facts stored with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gandissect.storage.files import MAX_TENSORS

from .files.checkpoint import Checkpoint
from .files.pickle_globals import NETWORKS
from .files.tensorflow import read_variables, rename_variables
from .files.values import MAX_NAME, Record
from .pairs import split_pairs
from .roles import AVERAGED, GENERATOR, MOMENTS, OPTIMIZER, ROLES, find_role, split_networks
from .wrappers import strip_inner, strip_wrappers

RESERVED = frozenset({"kind", "class", "source_hash", "attributes", "refused"})
"""Names of facts that are computed here; entries of a file with these names are not facts."""
MAX_NETWORKS, MAX_FACTS = 12, 1_000
"""Maximum number of networks in a file, and of facts for a network, which bounds the running time."""
MAX_FACTS_READ = 10**7
"""Maximum number of facts that are read, summed over all dicts that may contain a network."""
MAX_FACT_DEPTH = 3
"""Maximum nesting of dicts of settings: those of a network, its parts and their layers."""
MAX_DEPTH = 16
"""Maximum number of nested dicts and lists around a network."""
MAX_MODULES = 20_000
"""Maximum number of modules in a module; a shared one counts each time."""


KeyPath = tuple[str, ...]
"""Keys that lead to a value in a file, outermost first."""


@dataclass(frozen=True, slots=True)
class Network:
    """The tensors of one network in a file.

    Args:
        where: Dotted path of keys to the network, such as ``g_ema`` or ``models.generator``; empty for the top level.
        role: ``averaged generator``, ``generator``, ``discriminator``, ``optimizer``, or ``network`` if unknown.
        tensors: Tensors by dotted name.
        facts: Other information in the file. ``kind`` is the checkpoint's. A module has ``class``, ``source_hash``,
            ``init_args``, ``init_kwargs``, and ``attributes``, the plain attributes of each of its modules by dotted
            name. A TensorFlow network has ``init_kwargs`` and ``build_func_name``. Numbers, strings, tensors and dicts
            of them that are stored next to the network keep their names, such as ``latent_avg`` or ``args``.
            ``refused``, if present, is the reason why the network cannot be imported.
    """

    where: str
    role: str
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def find_networks(checkpoint: Checkpoint) -> list[Network]:
    """Return the networks of a file: averaged generators first, then others, optimizers last.

    Raises:
        ValueError: If there are too many, or they are too large.
    """
    networks: list[Network] = []
    for network in _Search().find(checkpoint.tree, (), {"kind": checkpoint.kind}):
        if not network.tensors:
            continue
        if len(network.tensors) + sum(len(earlier.tensors) for earlier in networks) > MAX_TENSORS:
            raise ValueError(f"its networks have more than {MAX_TENSORS:,} tensors")
        if network.role != OPTIMIZER:
            networks.append(network)
        elif not any(earlier.role == OPTIMIZER for earlier in networks):
            networks.append(network)  # one optimizer suffices for messages
        if len(networks) > MAX_NETWORKS:
            raise ValueError(f"it contains more than {MAX_NETWORKS} networks; save only the generator's state_dict()")
    return sorted(networks, key=lambda network: ROLES.index(network.role))


class _Search:
    """Search for networks in the content of a file."""

    def __init__(self) -> None:
        self._left = MAX_FACTS_READ
        self._seen: set[int] = set()

    def find(self, value: Any, path: KeyPath, outer_facts: Mapping[str, Any]) -> Iterator[Network]:
        """Yield the networks in a value.

        Args:
            value: Part of the tree.
            path: Keys that lead to it.
            outer_facts: Facts next to it and next to its parents.
        """
        if len(path) > MAX_DEPTH:
            return
        match value:
            case Record():
                yield from self._open(value, path, outer_facts)
            case dict():
                if _is_state(value) and not _is_entry(value, path):
                    yield from self._extract(value, path, outer_facts)
                if any(map(_is_filled, value.values())):
                    yield from self._descend(value.items(), path, self._collect_facts(value, outer_facts))
            case list() if value and all(isinstance(item, Tensor) for item in value):
                is_state = any(item.numel() > 1 for item in value)
                if is_state and find_role(path, ()) in {AVERAGED, GENERATOR}:  # parameters, in order
                    yield from self._extract(dict(enumerate(value)), path, outer_facts)
            case list():
                names = ("G", "D", "Gs") if _is_triple(value) else map(str, range(len(value)))
                yield from self._descend(zip(names, value, strict=False), path, outer_facts)

    def _descend(
        self, items: Iterable[tuple[Any, Any]], path: KeyPath, outer_facts: Mapping[str, Any]
    ) -> Iterator[Network]:
        for name, item in items:
            if _is_filled(item):
                yield from self.find(item, (*path, str(name)), outer_facts)

    def _open(self, record: Record, path: KeyPath, outer_facts: Mapping[str, Any]) -> Iterator[Network]:
        """Yield the networks in an object, which may be one itself; each object is searched once."""
        if id(record) in self._seen:
            return
        self._seen.add(id(record))
        if record.name in NETWORKS:
            yield _read_tensorflow(record, path, outer_facts)
        elif isinstance(record.state.get("_modules"), dict):
            yield from _read_module(record, path, outer_facts)
        else:
            yield from self.find(dict(record.state), path, outer_facts)

    def _extract(self, items: Mapping[Any, Any], path: KeyPath, outer_facts: Mapping[str, Any]) -> Iterator[Network]:
        tensors = strip_wrappers({str(key): item for key, item in items.items() if isinstance(item, Tensor)})
        for name, part in split_pairs(tensors) or split_networks(tensors):
            self._count(outer_facts)
            inside = (*path, *filter(None, name.split(".")))
            yield Network(".".join(inside), find_role(inside, part), strip_wrappers(part), dict(outer_facts))

    def _collect_facts(self, value: Mapping[str, Any], outer_facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts for the values in a dict: those next to its parents, and its own."""
        self._count(outer_facts)
        facts = {key: item for key, item in value.items() if isinstance(key, str) and key not in RESERVED}
        facts = {key: _plain_state(item) if isinstance(item, Record) else item for key, item in facts.items()}
        facts = {key: item for key, item in facts.items() if _is_fact(item) and not _is_weight(key, item)}
        inner = {**outer_facts, **facts}
        if len(inner) > MAX_FACTS:
            raise ValueError(f"it contains more than {MAX_FACTS:,} values next to its networks")
        return inner

    def _count(self, outer_facts: Mapping[str, Any]) -> None:
        self._left -= len(outer_facts)
        if self._left < 0:
            raise ValueError(
                "it repeats the same values next to too many dicts; save only the generator's state_dict()"
            )


def flatten_module(record: Record) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Return the state dict of a pickled module, and its plain attributes.

    Returns:
        The parameters and persistent buffers by dotted name; and, by dotted name of each submodule, its attributes that
            are numbers, strings or lists of them.

    Raises:
        ValueError: If a name is too long, or there are too many modules.
    """
    tensors: dict[str, Tensor] = {}
    attributes: dict[str, dict[str, Any]] = {}
    waiting = [("", record)]
    while waiting:
        prefix, module = waiting.pop()
        if len(prefix) > MAX_NAME:
            raise ValueError(f"the name of a tensor must have at most {MAX_NAME} characters; got {prefix[:100]!r}...")
        if len(attributes) + len(waiting) > MAX_MODULES:
            raise ValueError(f"a module contains more than {MAX_MODULES:,} others")
        tensors |= {prefix + name: tensor for name, tensor in _own_tensors(module).items()}
        plain = {name: value for name, value in module.state.items() if not str(name).startswith("_")}
        plain = {name: value for name, value in plain.items() if _is_plain(value)}
        attributes[prefix.removesuffix(".")] = {"class": module.name, **plain}
        children = _get_items(module.state, "_modules", dict).items()
        waiting += [(f"{prefix}{name}.", child) for name, child in reversed(children) if isinstance(child, Record)]
    return tensors, attributes


def _own_tensors(module: Record) -> dict[str, Tensor]:
    """Return a module's own parameters and persistent buffers, without those of submodules."""
    names = _get_items(module.state, "_non_persistent_buffers_set", list)
    left_out = {name for name in names if isinstance(name, str)}
    tensors = {**_get_items(module.state, "_parameters", dict), **_get_items(module.state, "_buffers", dict)}
    return {str(name): value for name, value in tensors.items() if isinstance(value, Tensor) and name not in left_out}


def _read_module(record: Record, path: KeyPath, outer_facts: Mapping[str, Any]) -> Iterator[Network]:
    tensors, attributes = flatten_module(record)
    facts: dict[str, Any] = {"class": record.name, "source_hash": record.source_hash}
    facts |= {name: record.state.get(f"_{name}") for name in ("init_args", "init_kwargs")}
    for head, part in split_networks(strip_wrappers(tensors)):
        inside, bare = (*path, *filter(None, head.split("."))), strip_wrappers(part)
        within = {"attributes": _find_attributes(attributes, head, bare)}
        yield Network(".".join(inside), find_role(inside, bare), bare, {**outer_facts, **facts, **within})


def _find_attributes(
    attributes: Mapping[str, dict[str, Any]], head: str, tensors: Mapping[str, Tensor]
) -> dict[str, dict[str, Any]]:
    """Return the attributes of a network's modules, keyed like its tensors' names."""
    dotted = {strip_inner(f"{name}."): value for name, value in attributes.items()}
    owner = f".{next(iter(tensors), '').rpartition('.')[0]}."
    starts = [name.removesuffix(owner[1:]) for name in dotted if f".{name}".endswith(owner) and head in name]
    start = min(starts, key=len, default="")
    return {name[len(start) : -1]: value for name, value in dotted.items() if name.startswith(start)}


def _read_tensorflow(record: Record, path: KeyPath, outer_facts: Mapping[str, Any]) -> Network:
    variables = read_variables(record)
    facts = {"init_kwargs": record.state.get("static_kwargs"), "build_func_name": record.state.get("build_func_name")}
    settings = facts["init_kwargs"] if isinstance(facts["init_kwargs"], dict) else {}
    tensors, more_facts = rename_variables(variables, settings)
    return Network(".".join(path), find_role(path, tensors), tensors, {**outer_facts, **facts, **more_facts})


def _is_state(value: Mapping[Any, Any]) -> bool:
    """Return whether a dict contains a network's tensors by name; mixed with other values, the names must have dots.

    Dicts of only scalars, such as loss histories, do not count.
    """
    tensors = {key: item for key, item in value.items() if isinstance(item, Tensor)}
    has_numbers = any(tensor.numel() > 1 for tensor in tensors.values())
    has_dots = any(_is_weight(key, tensor) for key, tensor in tensors.items())
    return has_numbers and (has_dots or not any(map(_is_filled, value.values())))


def _is_entry(value: Mapping[Any, Any], path: KeyPath) -> bool:
    """Return whether a dict of tensors is an entry of a numbered series, such as a history of figures."""
    is_numbered = bool(path) and path[-1].isdecimal()
    return is_numbered and not MOMENTS.issuperset(value) and not any("." in str(key) for key in value)


def _is_weight(key: Any, value: Any) -> bool:
    """Return whether an entry of a dict is a tensor of a network, judging by its dotted name."""
    return isinstance(value, Tensor) and "." in str(key)


def _is_filled(value: Any) -> bool:
    """Return whether a value may contain networks."""
    return isinstance(value, Record) or (isinstance(value, dict | list) and bool(value))


def _is_triple(value: list[Any]) -> bool:
    return len(value) == 3 and all(isinstance(item, Record) and item.name in NETWORKS for item in value)


def _is_fact(value: Any) -> bool:
    """Return whether a value next to networks may be a fact about them."""
    return isinstance(value, Tensor) or _is_plain(value) or _is_plain_dict(value)


def _plain_state(record: Record) -> dict[str, Any]:
    """Return the plain attributes of an object, such as a configuration."""
    return {str(name): value for name, value in record.state.items() if _is_plain(value)}


def _is_plain_dict(value: Any, depth: int = MAX_FACT_DEPTH) -> bool:
    """Return whether a value is a dict of plain values, or of such dicts, such as nested settings."""
    return (
        depth > 0
        and isinstance(value, dict)
        and all(_is_plain(item) or _is_plain_dict(item, depth - 1) for item in value.values())
    )


def _is_plain(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(isinstance(item, int | float | str | None) for item in items)


def _get_items(state: Mapping[str, Any], name: str, kind: type) -> Any:
    value = state.get(name)
    return value if isinstance(value, kind) else kind()
