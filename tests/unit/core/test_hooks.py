"""Tracing reads outputs and leaves nothing behind."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from gandissect import trace


class Doubler(nn.Module):
    """Changes its input in place, as ``nn.ReLU(inplace=True)`` does."""

    def forward(self, x):
        return x.mul_(2)


class Pair(nn.Module):
    def forward(self, x):
        return x + 1, {"half": x / 2}


def _network() -> nn.Module:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(3, 4), Doubler())
    return nn.Sequential(nn.Linear(2, 3), inner, nn.Linear(4, 5)).eval().requires_grad_(False)


def _num_hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


X = torch.tensor([[0.5, -1.0], [2.0, 3.0]])


def test_outputs_are_those_of_the_modules() -> None:
    network = _network()
    first, (second, _), _ = network
    expected = network(X)
    with trace(network, ["1.0", "0"]) as record:
        given = network(X)
    assert torch.equal(given, expected)
    assert list(record) == ["1.0", "0"]
    assert torch.equal(record["0"], first(X))
    assert torch.equal(record["1.0"], second(first(X)))  # not doubled: kept before the in-place step


def test_one_layer_is_read_as_output() -> None:
    network = _network()
    with trace(network, "0") as record:
        network(X)
    assert torch.equal(record.output, network[0](X))


def test_tuples_and_mappings_are_copied() -> None:
    network = nn.Sequential(Pair())
    with trace(network, "0") as record:
        plus, rest = network(X)
        plus.zero_()
        rest["half"].zero_()
    assert torch.equal(record.output[0], X + 1)
    assert torch.equal(record.output[1]["half"], X / 2)


def test_stop_ends_the_pass_after_the_last_layer_needed() -> None:
    network, ran = _network(), []
    network[2] = _Note(ran)
    with trace(network, ["0", "1.0"], stop=True) as record:
        network(X)
        ran.append("body")
    assert ran == []
    assert len(record) == 2


class _Note(nn.Module):
    def __init__(self, ran: list) -> None:
        super().__init__()
        self.ran = ran

    def forward(self, x):
        self.ran.append("module")
        return x


def test_a_stop_inside_another_trace_stops_its_own_only() -> None:
    network = _network()
    with trace(network, "2") as outer:
        with trace(network, "0", stop=True) as inner:
            network(X)
        assert len(inner) == 1
        assert len(outer) == 0
        network(X)
    assert len(outer) == 1


@pytest.mark.parametrize("mode", ["normal", "stop", "bad argument", "model raises", "body raises"])
def test_no_hook_survives(mode: str) -> None:
    network = _network()
    before = network(X)
    if mode in ("normal", "stop"):
        with trace(network, ["0", "1"], stop=mode == "stop"):
            network(X)
    elif mode == "bad argument":
        with pytest.raises(KeyError, match=r"unknown layer '1\.7'; did you mean '1\.\d'"), trace(network, ["0", "1.7"]):
            pass
    elif mode == "model raises":
        with pytest.raises(RuntimeError), trace(network, ["0", "1"]):
            network(torch.zeros(1, 9))
    else:
        with pytest.raises(ZeroDivisionError), trace(network, "0"):
            _ = 1 / 0
    assert _num_hooks(network) == 0
    assert torch.equal(network(X), before)


def test_other_threads_run_as_without() -> None:
    network, seen = _network(), []
    expected = network(X)
    with trace(network, "0", stop=True) as record:
        thread = threading.Thread(target=lambda: seen.append(network(X)))
        thread.start()
        thread.join()
    assert torch.equal(seen[0], expected)
    assert len(record) == 0


def test_bad_requests_are_named() -> None:
    network = _network()
    with pytest.raises(TypeError, match="got function"), trace(lambda x: x, "0"):
        pass
    for layers in ([], ["0", "0"]):
        with pytest.raises(ValueError, match="each only once"), trace(network, layers):
            pass
    with trace(network, ["0", "1"]) as record:
        pass
    with pytest.raises(KeyError, match="did not run"):
        record["0"]
    with pytest.raises(KeyError, match="unknown traced layer '2'"):
        record["2"]
    with pytest.raises(ValueError, match="2 layers are traced"):
        _ = record.output
