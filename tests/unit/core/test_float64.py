"""No public function makes float64 where the networks are: Apple's GPUs, which ``auto`` picks, have none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fake_device import DEVICE, OnDevice, fake_device, put_on_device
from public_functions import CALLS, assert_equal_results, make_networks, plain_result


@pytest.mark.parametrize("name", CALLS)
def test_a_public_function_runs_where_there_is_no_float64(name: str, tmp_path: Path) -> None:
    wanted, networks = plain_result(name), make_networks()
    for module in networks.modules:
        put_on_device(module)
    with fake_device():
        assert networks.plain.device == DEVICE
        result = CALLS[name](networks, tmp_path)
    assert_equal_results(result, wanted, tolerance=1e-5)


def test_the_device_that_is_played_refuses_what_a_real_one_refuses() -> None:
    with fake_device():
        x = torch.ones(3, device=DEVICE)
        assert isinstance(x, OnDevice) and x.device == DEVICE and isinstance((x + 1).relu(), OnDevice)
        assert type(x.cpu()) is type(x.to("cpu")) is torch.Tensor and x.cpu().double().dtype == torch.float64
        for refused in (
            lambda: x.double(),
            lambda: x.to("cpu", torch.float64),  # converted before it is moved
            lambda: torch.zeros(2, dtype=torch.float64, device=DEVICE),
            lambda: x.new_zeros(2, dtype=torch.float64),
            lambda: torch.ones(3, dtype=torch.float64).to(DEVICE),
            lambda: x.numpy(),
        ):
            with pytest.raises(TypeError, match="device"):
                refused()
        with pytest.raises(RuntimeError, match="two devices"):
            x + torch.ones(3)
        alpha = torch.full((3,), 0.5, device=DEVICE, requires_grad=True)
        (alpha * x).sum().backward()
        assert alpha.is_leaf and torch.equal(alpha.grad.cpu(), torch.ones(3))
