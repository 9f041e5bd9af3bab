"""The networks in a checkpoint: which dicts and records hold one, its tensors by name, and what is said beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gandissect.storage.files import MAX_TENSORS

from .files.checkpoint import Checkpoint
from .files.pickle_globals import NETWORKS
from .files.tensorflow import read_variables, rename_variables
from .files.values import MAX_NAME, Record
from .pairs import split_pairs

AVERAGED = frozenset(
    {"g_ema", "G_ema", "generator_smooth", "generator_ema", "g_running", "netG_ema", "Gs", "GE", "ema"}
)
GENERATORS = frozenset({"g", "G", "generator", "netG", "net_G", "gen", "Gen"})
DISCRIMINATORS = frozenset({"d", "D", "discriminator", "netD", "net_D", "dis", "Dis"})
WRAPPERS = frozenset({"state_dict", "model_state_dict", "models", "model", "params", "weights", "network", "net"})
OPTIMIZERS = ("optim", "opt_", "_opt")
PREFIXES = ("module.", "_orig_mod.", "_forward_module.")
MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"})
"""What optimizers keep of each parameter."""
AVERAGE_COUNT = "n_averaged"
"""What torch's ``AveragedModel`` has beside the network that it averages, whose names it puts ``module.`` before."""
STATE = "_state_dict"
"""What may come after the name of a network where its tensors are, as in ``G_state_dict``."""
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
MAX_WRAPPERS = 8
"""How often what wrappers put before names is taken away."""


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


ROLES = ("averaged generator", "generator", "network", "discriminator", "optimizer")


def find_networks(checkpoint: Checkpoint) -> list[Network]:
    """Return the networks of a file: averaged generators first, then others, optimizers last.

    Raises:
        ValueError: If there are too many, or they are too large.
    """
    networks: list[Network] = []
    for network in _Search().find(checkpoint.tree, (), {"kind": checkpoint.kind}):
        if len(network.tensors) + sum(len(earlier.tensors) for earlier in networks) > MAX_TENSORS:
            raise ValueError(f"its networks have more than {MAX_TENSORS:,} tensors")
        if network.role != "optimizer":
            networks.append(network)
        elif not any(earlier.role == "optimizer" for earlier in networks):
            networks.append(network)  # one says it all
        if len(networks) > MAX_NETWORKS:
            raise ValueError(f"it holds more than {MAX_NETWORKS} networks; save the generator's state_dict() alone")
    return sorted(networks, key=lambda network: ROLES.index(network.role))


class _Search:
    """Goes through what a file holds."""

    def __init__(self) -> None:
        self._left = MAX_FACTS_READ

    def find(self, value: Any, way: tuple[str, ...], beside: Mapping[str, Any]) -> Iterator[Network]:
        """Yield the networks in a value.

        Args:
            value: A part of the tree.
            way: To it.
            beside: What is said beside it and beside what it lies in.
        """
        if len(way) > MAX_DEPTH:
            return
        match value:
            case Record() if value.name in NETWORKS:
                yield _read_tensorflow(value, way, beside)
            case Record() if isinstance(value.state.get("_modules"), dict):
                yield _read_module(value, way, beside)
            case dict() if not _is_state(value):
                inner = self._collect_facts(value, beside)
                for key, item in value.items():
                    if isinstance(item, dict | list | Record) and item:
                        yield from self.find(item, (*way, str(key)), inner)
            case list() if not all(isinstance(item, Tensor) for item in value):
                names = ("G", "D", "Gs") if _is_triple(value) else map(str, range(len(value)))
                for name, item in zip(names, value, strict=False):
                    if isinstance(item, dict | list | Record) and item:
                        yield from self.find(item, (*way, name), beside)
            case dict() | list():
                items = value if isinstance(value, dict) else dict(enumerate(value))
                tensors = strip_wrappers({str(key): item for key, item in items.items() if isinstance(item, Tensor)})
                for name, part in split_pairs(tensors) or _split_networks(tensors):
                    self._count(beside)
                    inside = (*way, name) if name else way
                    yield Network(".".join(inside), _find_role(inside, part), part, dict(beside))

    def _collect_facts(self, value: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is said beside the things in a dict."""
        self._count(beside)
        facts = {key: item for key, item in value.items() if isinstance(key, str) and _is_fact(item)}
        inner = {**beside, **{key: item for key, item in facts.items() if key not in RESERVED}}
        if len(inner) > MAX_FACTS:
            raise ValueError(f"it says more than {MAX_FACTS:,} things beside its networks")
        return inner

    def _count(self, beside: Mapping[str, Any]) -> None:
        self._left -= len(beside)
        if self._left < 0:
            raise ValueError("it says the same things beside too many dicts; save the generator's state_dict() alone")


def strip_wrappers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by the names that they have in the network itself, without what wrappers put before them."""
    bare = dict(tensors)
    if AVERAGE_COUNT in bare and all(name == AVERAGE_COUNT or name.startswith("module.") for name in bare):
        del bare[AVERAGE_COUNT]
    for _ in range(MAX_WRAPPERS):
        for prefix in PREFIXES:
            if bare and all(name.startswith(prefix) for name in bare):
                bare = {name.removeprefix(prefix): tensor for name, tensor in bare.items()}
                break
        else:
            break
    return bare


def _split_networks(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the networks whose tensors lie in one dict, as a module that trains both has them, by their names.

    That is so if each name begins with that of a generator or a discriminator, or some with one and some with the
    other; ``generator.`` alone, beside others, is a part of rosinality's StyleGAN.
    """
    heads = {name.partition(".")[0] for name in tensors if "." in name}
    makes, judges = heads & (AVERAGED | GENERATORS), heads & DISCRIMINATORS
    if not makes or not (judges or all(name.partition(".")[0] in makes for name in tensors)):
        yield from [("", dict(tensors))] * bool(tensors)
        return
    for head in sorted(makes | judges):
        part = {name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{head}.")}
        yield head, strip_wrappers(part)


def flatten_module(record: Record, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Return the state of a pickled module as `torch.nn.Module.state_dict` would, and its plain attributes.

    Args:
        record: The module.
        prefix: What its tensors' names begin with.

    Returns:
        The parameters and the buffers that are saved, by dotted name; and by dotted name of each module within, its
        attributes that are numbers, texts or lists of them.

    Raises:
        ValueError: If names are too long.
    """
    if len(prefix) > MAX_NAME:
        raise ValueError(f"a tensor's name has more than {MAX_NAME} characters, {prefix[:100]!r}...")
    state = record.state
    left_out = {name for name in _get_items(state, "_non_persistent_buffers_set", list) if isinstance(name, str)}
    own = {**_get_items(state, "_parameters", dict), **_get_items(state, "_buffers", dict)}
    tensors = {
        prefix + str(name): tensor
        for name, tensor in own.items()
        if isinstance(tensor, Tensor) and name not in left_out
    }
    plain = {name: value for name, value in state.items() if not str(name).startswith("_") and _is_plain(value)}
    attributes = {prefix.removesuffix("."): {"class": record.name, **plain}}
    for name, child in _get_items(state, "_modules", dict).items():
        if isinstance(child, Record):
            inner, inner_attributes = flatten_module(child, f"{prefix}{name}.")
            tensors |= inner
            attributes |= inner_attributes
    return tensors, attributes


def _read_module(record: Record, way: tuple[str, ...], beside: Mapping[str, Any]) -> Network:
    tensors, attributes = flatten_module(record)
    facts: dict[str, Any] = {"class": record.name, "source_hash": record.source_hash, "attributes": attributes}
    facts |= {name: record.state.get(f"_{name}") for name in ("init_args", "init_kwargs")}
    return Network(".".join(way), _find_role(way, tensors), tensors, {**beside, **facts})


def _read_tensorflow(record: Record, way: tuple[str, ...], beside: Mapping[str, Any]) -> Network:
    variables = read_variables(record)
    facts = {"init_kwargs": record.state.get("static_kwargs"), "build_func_name": record.state.get("build_func_name")}
    settings = facts["init_kwargs"] if isinstance(facts["init_kwargs"], dict) else {}
    tensors, more_facts = rename_variables(variables, settings)
    return Network(".".join(way), _find_role(way, tensors), tensors, {**beside, **facts, **more_facts})


def _find_role(way: tuple[str, ...], tensors: Mapping[str, Tensor]) -> str:
    words = [word.removesuffix(STATE) for word in way if word not in WRAPPERS]
    last = words[-1] if words else ""
    if any(mark in word.lower() for word in way for mark in OPTIMIZERS) or MOMENTS.issuperset(tensors):
        return "optimizer"
    for role, names in zip(ROLES, (AVERAGED, GENERATORS), strict=False):
        if last in names:
            return role
    return "discriminator" if last in DISCRIMINATORS else "network"


def _is_state(value: Mapping[Any, Any]) -> bool:
    """Whether a dict is a network's tensors by name: what holds dicts or modules besides is a checkpoint of several."""
    holds_more = any(isinstance(item, dict | list | Record) and item for item in value.values())
    return not holds_more and any(isinstance(item, Tensor) for item in value.values())


def _is_triple(value: list[Any]) -> bool:
    return len(value) == 3 and all(isinstance(item, Record) and item.name in NETWORKS for item in value)


def _is_fact(value: Any) -> bool:
    """Whether a value beside networks may say something about them."""
    return isinstance(value, Tensor) or _is_plain(value) or _is_plain_dict(value)


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
