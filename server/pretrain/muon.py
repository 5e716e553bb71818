"""Muon: momentum whose update is made orthogonal, for the matrices inside the blocks.

Takes parameters with gradients and changes them. From Keller Jordan's description ("Muon: An
optimizer for hidden layers in neural networks", 2024): the momentum of a matrix is replaced by
the nearest orthogonal one, found by a few Newton-Schulz steps, so that rare directions learn as
fast as common ones. Embeddings, norms and biases stay with AdamW.
"""

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at zero: five steps bring singular values near 1


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About the U·Vᵀ of each matrix's U·S·Vᵀ; (N, rows, columns) with rows <= columns.

    Computed in bf16, which the steps bear.
    """
    a, b, c = COEFFICIENTS
    x = (matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.to(matrices.dtype)


def scaled(matrices: Tensor) -> Tensor:
    """Made orthogonal, and tall ones, which write to more outputs than they read inputs, larger: the change per output is alike."""
    rows, columns = matrices.shape[1:]
    if rows <= columns:
        return orthogonal(matrices)
    return orthogonal(matrices.mT).mT * (rows / columns) ** 0.5


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, made orthogonal; decoupled weight decay.

    `parts` in a group says of how many rows the matrices are of which each of its matrices is made, on
    top of one another (Q, K and V; gate and up); each of them is made orthogonal by itself.
    """

    def __init__(self, groups: list[dict], lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(
            groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "parts": ()}
        )

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            updates = []
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                updates.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
            # All matrices of a group have one shape: one batched product serves them all.
            stack = torch.stack(updates)
            parts = stack.split(group["parts"] or stack.shape[1], dim=1)
            stack = torch.cat([scaled(part) for part in parts], dim=1)
            for parameter, update in zip(group["params"], stack, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])
