"""AdamW, with and without bias correction, and its schedule.

Source: MRE, section 4, "Training": AdamW, learning rate 5e-5, linear warm-up over 10 % of the steps, linear decay to 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from model.joint.network import Network
from model.settings import AdamWSettings, TrainingSettings, UncorrectedAdamWSettings

BETAS = (0.9, 0.999)


class UncorrectedAdamW(torch.optim.Optimizer):
    """AdamW without bias correction, as the released code has it.

        m = β1 m + (1 - β1) g,  v = β2 v + (1 - β2) g²
        θ = θ - lr m / (√v + ε),  then  θ = θ - lr λ θ

    The first steps are larger than with bias correction (by (1 - β1) / √(1 - β2), about 3). Parameters without
    gradient are left alone, also by the decay.
    """

    def __init__(self, parameters: list[dict], lr: float, epsilon: float) -> None:
        super().__init__(parameters, {"lr": lr, "epsilon": epsilon, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                mean, square = state["exp_avg"], state["exp_avg_sq"]
                mean.lerp_(parameter.grad, 1 - BETAS[0])
                square.mul_(BETAS[1]).addcmul_(parameter.grad, parameter.grad, value=1 - BETAS[1])
                parameter.addcdiv_(mean, square.sqrt().add_(group["epsilon"]), value=-group["lr"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
        return loss


def build_optimiser(network: Network, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Weights decay but for biases and layer norms; memories do (as released). Frozen parameters are left out."""
    norms = {
        f"{name}.{parameter}"
        for name, module in network.named_modules()
        if isinstance(module, nn.LayerNorm)
        for parameter, _ in module.named_parameters(recurse=False)
    }
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = not (name in norms or name.endswith("bias"))
            groups.setdefault((name.startswith("encoder."), decays), []).append(parameter)
    head_rate = settings.head_learning_rate or settings.learning_rate
    parameters = [
        {
            "params": members,
            "lr": settings.learning_rate if of_encoder else head_rate,
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (of_encoder, decays), members in groups.items()
    ]
    match settings.optimiser:
        case AdamWSettings(epsilon=epsilon):
            return torch.optim.AdamW(parameters, lr=head_rate, betas=BETAS, eps=epsilon, fused=True)
        case UncorrectedAdamWSettings(epsilon=epsilon):
            return UncorrectedAdamW(parameters, lr=head_rate, epsilon=epsilon)


def build_schedule(optimiser: torch.optim.Optimizer, n_steps: int, warmup: float, step: int = 0) -> LambdaLR:
    """The learning rate rises linearly from 0 over the first `warmup` of all steps and falls linearly to 0."""
    n_warmup = int(warmup * n_steps)
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])

    def factor(at: int) -> float:
        if at < n_warmup:
            return at / n_warmup
        return max(0.0, (n_steps - at) / max(1, n_steps - n_warmup))

    return LambdaLR(optimiser, factor, last_epoch=step - 1)
