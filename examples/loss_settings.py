"""The losses that the examples compare, each with the optimizer and the critic turns of its paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOSSES: Mapping[str, dict[str, Any]] = {
    "logistic": {"loss": "logistic"},
    "minimax": {"loss": "minimax"},
    "least-squares": {"loss": "least-squares"},
    "wasserstein": {
        "loss": "wasserstein",
        "optimizer": "rmsprop",
        "learning_rate": 5e-5,
        "beta2": 0.99,
        "discriminator_turns": 5,
    },
    "wgan-gp": {
        "loss": "wgan-gp",
        "learning_rate": 1e-4,
        "beta1": 0.0,
        "beta2": 0.9,
        "discriminator_turns": 5,
        "discriminator_norm": "none",
        "drift_weight": 0.0,
    },
}
"""Settings that differ from those of a family's recipe, by loss.

Source: Goodfellow et al. 2014, arXiv 1406.2661 (logistic, minimax); Mao et al. 2017, arXiv 1611.04076 (least squares);
Arjovsky et al. 2017, arXiv 1701.07875 (Wasserstein, clipped weights); Gulrajani et al. 2017, arXiv 1704.00028,
Algorithm 1 (Wasserstein, gradient penalty).
"""
