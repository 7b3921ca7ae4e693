"""One step of training, from a batch to changed weights. Nothing in it waits for a GPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.batch import Batch
from model.joint.network import Network
from model.loss import Losses, joint_loss
from model.settings import PhaseSettings


def training_step(
    network: Network, optimiser: torch.optim.Optimizer, batch: Batch, settings: PhaseSettings
) -> tuple[Losses, Tensor]:
    """Change the weights by one batch. Returns the losses and the norm of the gradients before it was limited.

    Source: MRE, section 3.3, Eq. (6); section 4, "Training".
    """
    # before anything needs memory
    optimiser.zero_grad(set_to_none=True)
    with precision_of(network, settings):
        scores = network(batch)
    losses = joint_loss(scores, batch.targets, settings.loss_weights)
    losses.total.backward()
    norm = clip_gradients(network, settings.max_gradient_norm)
    optimiser.step()
    return losses, norm


def precision_of(network: Network, settings: PhaseSettings) -> torch.autocast:
    """The numbers in which a network computes: bfloat16 by autocast, or float32."""
    return torch.autocast(network.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def clip_gradients(network: nn.Module, most: float) -> Tensor:
    """Scale gradients to a norm of at most `most`; returns the norm before, on the device."""
    return nn.utils.clip_grad_norm_([p for p in network.parameters() if p.grad is not None], most)


def check_norms(norms: list[Tensor], last_step: int) -> None:
    """Raise FloatingPointError where one of the last steps' norms is not finite; `last_step` is that of the last one.

    A norm lies on the device. To look at it is to wait for it, so it is done every now and then.
    """
    if not norms:
        return
    for step, norm in enumerate(torch.stack(norms).tolist(), start=last_step - len(norms) + 1):
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"the norm of the gradients is {norm} in step {step}: lower the learning rate, or train in float32 "
                f"instead of bfloat16"
            )
