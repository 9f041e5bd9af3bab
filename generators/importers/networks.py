"""The networks in a checkpoint: which dicts and records hold one, its tensors by name, and what is said beside them."""

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
"""Facts that are found out here; what lies beside a network in a file under such a name is none."""
MAX_NETWORKS, MAX_FACTS = 12, 1_000
"""Of a file, and beside a network; more are none that is read here, and would take long."""
MAX_FACTS_READ = 10**7
"""Facts beside networks that are looked at, in each dict that may hold one."""
MAX_FACT_DEPTH = 3
"""How deep dicts of settings beside a network may be nested: a network's, its parts', their layers'."""
MAX_DEPTH = 16
"""In how many dicts and lists a network may lie."""
MAX_MODULES = 20_000
"""Modules within one, each counted wherever it lies."""


Way = tuple[str, ...]
"""The names that lead to a value in a file, outermost first."""


@dataclass(frozen=True, slots=True)
class Network:
    """The tensors of one network in a file.

    Args:
        where: The way to it, such as ``g_ema`` or ``models.generator``; empty for the file itself.
        role: ``averaged generator``, ``generator``, ``discriminator``, ``optimizer``, or ``network`` where the file
            does not say.
        tensors: By dotted name.
        facts: What the file says besides. ``kind`` is the checkpoint's. Of a module: ``class``, ``source_hash``,
            ``init_args``, ``init_kwargs``, and ``attributes``, the plain attributes of each of its modules by dotted
            name. Of a TensorFlow network: ``init_kwargs``, ``build_func_name``. Any number, text, tensor or dict of
            them that lies beside the network in the file has its own name there, such as ``latent_avg`` or ``args``.
            ``refused``, if there, says why it cannot be imported.
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
            networks.append(network)  # one says it all
        if len(networks) > MAX_NETWORKS:
            raise ValueError(f"it holds more than {MAX_NETWORKS} networks; save the generator's state_dict() alone")
    return sorted(networks, key=lambda network: ROLES.index(network.role))


class _Search:
    """Goes through what a file holds."""

    def __init__(self) -> None:
        self._left = MAX_FACTS_READ
        self._seen: set[int] = set()

    def find(self, value: Any, way: Way, beside: Mapping[str, Any]) -> Iterator[Network]:
        """Yield the networks in a value.

        Args:
            value: A part of the tree.
            way: To it.
            beside: What is said beside it and beside what it lies in.
        """
        if len(way) > MAX_DEPTH:
            return
        match value:
            case Record():
                yield from self._open(value, way, beside)
            case dict():
                if _is_state(value) and not _is_entry(value, way):
                    yield from self._take(value, way, beside)
                if any(map(_is_filled, value.values())):
                    yield from self._descend(value.items(), way, self._collect_facts(value, beside))
            case list() if value and all(isinstance(item, Tensor) for item in value):
                is_state = any(item.numel() > 1 for item in value)
                if is_state and find_role(way, ()) in {AVERAGED, GENERATOR}:  # parameters, in their order
                    yield from self._take(dict(enumerate(value)), way, beside)
            case list():
                names = ("G", "D", "Gs") if _is_triple(value) else map(str, range(len(value)))
                yield from self._descend(zip(names, value, strict=False), way, beside)

    def _descend(self, items: Iterable[tuple[Any, Any]], way: Way, beside: Mapping[str, Any]) -> Iterator[Network]:
        for name, item in items:
            if _is_filled(item):
                yield from self.find(item, (*way, str(name)), beside)

    def _open(self, record: Record, way: Way, beside: Mapping[str, Any]) -> Iterator[Network]:
        """Yield the networks in an object: itself, if it is one, or what its attributes hold; each object once."""
        if id(record) in self._seen:
            return
        self._seen.add(id(record))
        if record.name in NETWORKS:
            yield _read_tensorflow(record, way, beside)
        elif isinstance(record.state.get("_modules"), dict):
            yield from _read_module(record, way, beside)
        else:
            yield from self.find(dict(record.state), way, beside)

    def _take(self, items: Mapping[Any, Any], way: Way, beside: Mapping[str, Any]) -> Iterator[Network]:
        tensors = strip_wrappers({str(key): item for key, item in items.items() if isinstance(item, Tensor)})
        for name, part in split_pairs(tensors) or split_networks(tensors):
            self._count(beside)
            inside = (*way, *filter(None, name.split(".")))
            yield Network(".".join(inside), find_role(inside, part), strip_wrappers(part), dict(beside))

    def _collect_facts(self, value: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said beside the things in a dict."""
        self._count(beside)
        facts = {key: item for key, item in value.items() if isinstance(key, str) and key not in RESERVED}
        facts = {key: _plain_state(item) if isinstance(item, Record) else item for key, item in facts.items()}
        facts = {key: item for key, item in facts.items() if _is_fact(item) and not _is_weight(key, item)}
        inner = {**beside, **facts}
        if len(inner) > MAX_FACTS:
            raise ValueError(f"it says more than {MAX_FACTS:,} things beside its networks")
        return inner

    def _count(self, beside: Mapping[str, Any]) -> None:
        self._left -= len(beside)
        if self._left < 0:
            raise ValueError("it says the same things beside too many dicts; save the generator's state_dict() alone")


def flatten_module(record: Record) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Return the state of a pickled module as `torch.nn.Module.state_dict` would, and its plain attributes.

    Returns:
        The parameters and the buffers that are saved, by dotted name; and by dotted name of each module within, its
        attributes that are numbers, texts or lists of them.

    Raises:
        ValueError: If names are too long, or modules too many.
    """
    tensors: dict[str, Tensor] = {}
    attributes: dict[str, dict[str, Any]] = {}
    waiting = [("", record)]
    while waiting:
        prefix, module = waiting.pop()
        if len(prefix) > MAX_NAME:
            raise ValueError(f"a tensor's name has more than {MAX_NAME} characters, {prefix[:100]!r}...")
        if len(attributes) + len(waiting) > MAX_MODULES:
            raise ValueError(f"a module holds more than {MAX_MODULES:,} others")
        tensors |= {prefix + name: tensor for name, tensor in _own_tensors(module).items()}
        plain = {name: value for name, value in module.state.items() if not str(name).startswith("_")}
        plain = {name: value for name, value in plain.items() if _is_plain(value)}
        attributes[prefix.removesuffix(".")] = {"class": module.name, **plain}
        children = _get_items(module.state, "_modules", dict).items()
        waiting += [(f"{prefix}{name}.", child) for name, child in reversed(children) if isinstance(child, Record)]
    return tensors, attributes


def _own_tensors(module: Record) -> dict[str, Tensor]:
    """Return the parameters and the buffers that are saved of a module, without those within."""
    names = _get_items(module.state, "_non_persistent_buffers_set", list)
    left_out = {name for name in names if isinstance(name, str)}
    own = {**_get_items(module.state, "_parameters", dict), **_get_items(module.state, "_buffers", dict)}
    return {str(name): value for name, value in own.items() if isinstance(value, Tensor) and name not in left_out}


def _read_module(record: Record, way: Way, beside: Mapping[str, Any]) -> Iterator[Network]:
    tensors, attributes = flatten_module(record)
    facts: dict[str, Any] = {"class": record.name, "source_hash": record.source_hash}
    facts |= {name: record.state.get(f"_{name}") for name in ("init_args", "init_kwargs")}
    for head, part in split_networks(strip_wrappers(tensors)):
        inside, bare = (*way, *filter(None, head.split("."))), strip_wrappers(part)
        within = {"attributes": _find_attributes(attributes, head, bare)}
        yield Network(".".join(inside), find_role(inside, bare), bare, {**beside, **facts, **within})


def _find_attributes(
    attributes: Mapping[str, dict[str, Any]], head: str, tensors: Mapping[str, Tensor]
) -> dict[str, dict[str, Any]]:
    """Return the attributes of a network's modules by the names that they have in it, as its tensors have them."""
    dotted = {strip_inner(f"{name}."): value for name, value in attributes.items()}
    owner = f".{next(iter(tensors), '').rpartition('.')[0]}."
    starts = [name.removesuffix(owner[1:]) for name in dotted if f".{name}".endswith(owner) and head in name]
    start = min(starts, key=len, default="")
    return {name[len(start) : -1]: value for name, value in dotted.items() if name.startswith(start)}


def _read_tensorflow(record: Record, way: Way, beside: Mapping[str, Any]) -> Network:
    variables = read_variables(record)
    facts = {"init_kwargs": record.state.get("static_kwargs"), "build_func_name": record.state.get("build_func_name")}
    settings = facts["init_kwargs"] if isinstance(facts["init_kwargs"], dict) else {}
    tensors, more_facts = rename_variables(variables, settings)
    return Network(".".join(way), find_role(way, tensors), tensors, {**beside, **facts, **more_facts})


def _is_state(value: Mapping[Any, Any]) -> bool:
    """Whether a dict is a network's tensors by name: what holds other things besides has dots in their names.

    Dicts of single numbers, of which histories of losses are made, are none.
    """
    tensors = {key: item for key, item in value.items() if isinstance(item, Tensor)}
    has_numbers = any(tensor.numel() > 1 for tensor in tensors.values())
    has_dots = any(_is_weight(key, tensor) for key, tensor in tensors.items())
    return has_numbers and (has_dots or not any(map(_is_filled, value.values())))


def _is_entry(value: Mapping[Any, Any], way: Way) -> bool:
    """Whether a dict of tensors is one of a numbered series, such as a history of figures, and no network."""
    is_numbered = bool(way) and way[-1].isdecimal()
    return is_numbered and not MOMENTS.issuperset(value) and not any("." in str(key) for key in value)


def _is_weight(key: Any, value: Any) -> bool:
    """Whether something in a dict is a tensor of a network, by its dotted name."""
    return isinstance(value, Tensor) and "." in str(key)


def _is_filled(value: Any) -> bool:
    """Whether a value may hold networks."""
    return isinstance(value, Record) or (isinstance(value, dict | list) and bool(value))


def _is_triple(value: list[Any]) -> bool:
    return len(value) == 3 and all(isinstance(item, Record) and item.name in NETWORKS for item in value)


def _is_fact(value: Any) -> bool:
    """Whether a value beside networks may say something about them."""
    return isinstance(value, Tensor) or _is_plain(value) or _is_plain_dict(value)


def _plain_state(record: Record) -> dict[str, Any]:
    """Return the attributes of an object that are plain values, such as those of a configuration."""
    return {str(name): value for name, value in record.state.items() if _is_plain(value)}


def _is_plain_dict(value: Any, depth: int = MAX_FACT_DEPTH) -> bool:
    """Whether a value is a dict of plain values, or of such dicts, as settings of networks within networks are."""
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
