"""The processes that share a training run: one, or all those that ``torchrun`` or ``fabric run`` started.

Lightning Fabric over ``torch.distributed`` connects them, averages their gradients and reduces their figures.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gandissect.core import install_command

NUM_PROCESSES, NUM_LOCAL = "WORLD_SIZE", "LOCAL_WORLD_SIZE"
"""Variables of the environment that the launchers set."""

N = TypeVar("N", bound=nn.Module)


class Processes:
    """The processes of a training run, each of which holds an equal share of every batch.

    Args:
        device: Device of a single process; with several, each takes the device of its rank.

    Raises:
        ValueError: If there are several processes and Lightning Fabric is not installed.
    """

    def __init__(self, device: torch.device) -> None:
        self.count = int(os.environ.get(NUM_PROCESSES, "1"))
        self._fabric = _connect(device.type, self.count) if self.count > 1 else None
        self.rank: int = 0 if self._fabric is None else self._fabric.global_rank
        self.device = device if self._fabric is None else self._fabric.device

    def rows(self, batch_size: int, multiple_of: int) -> slice:
        """Return the rows of a batch that this process holds.

        Raises:
            ValueError: If the batch cannot be divided into equal shares that are multiples of ``multiple_of``.
        """
        share, rest = divmod(batch_size, self.count)
        if rest or (self.count > 1 and share % multiple_of):
            raise ValueError(
                f"batch_size must be a multiple of {self.count * multiple_of} for {self.count} processes; got "
                f"{batch_size}"
            )
        return slice(self.rank * share, (self.rank + 1) * share)

    def synchronize_norms(self, network: N) -> N:
        """Return a network whose batch norms measure the batch of all processes.

        Raises:
            ValueError: If there are several processes, and batch norms, without CUDA.
        """
        if self.count == 1 or not any(
            isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()
        ):
            return network
        if self.device.type != "cuda":
            raise ValueError(
                "batch norm over several processes needs CUDA; train this architecture in one process, or use another"
            )
        synchronized: N = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch gives no types here
        return synchronized

    def connect(self, network: nn.Module) -> nn.Module:
        """Return a network whose gradients each backward pass averages over the processes."""
        if self._fabric is None:
            return network
        connected: nn.Module = self._fabric.setup_module(network)
        return connected

    def average(self, figures: Mapping[str, Float[Tensor, ""]]) -> dict[str, float]:
        """Return figures, scalar tensors, averaged over the processes."""
        values = torch.stack([figure.detach().float() for figure in figures.values()])
        if self._fabric is not None:
            values = self._fabric.all_reduce(values, reduce_op="mean")
        return dict(zip(figures, values.tolist(), strict=True))

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self._fabric is not None:
            self._fabric.barrier()


def is_first() -> bool:
    """Return whether this process is the one that prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def _connect(accelerator: str, count: int) -> Any:
    atexit.register(_disconnect)
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies.ddp import DDPStrategy
    except ImportError as error:
        raise ValueError(f"several processes need Lightning Fabric; run: {install_command('train')}") from error
    local = int(os.environ.get(NUM_LOCAL, str(count)))
    strategy = DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)  # while growing, not all take part
    options: dict[str, Any] = {
        "accelerator": accelerator,
        "devices": local,
        "num_nodes": count // local,
        "strategy": strategy,
    }
    if "LT_CLI_USED" not in os.environ:
        fabric = Fabric(**options)
        fabric.launch()
        return fabric
    remaining = {name: value for name, value in options.items() if f"LT_{name.upper()}" not in os.environ}
    return Fabric(**remaining)  # `fabric run` has set the others and connected the processes


def _disconnect() -> None:
    """End the connections before the interpreter does: what it leaves running may abort the process."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
