"""Adam's own β, warm-up, annealing and decay against torch's."""

from __future__ import annotations

import math

import torch

from algorithms.base import Adam
from algorithms.engine.optimizer import adam_coefficients, adam_step


def test_betas_and_warm_up_equal_those_of_torch() -> None:
    adam = Adam(0.1, warmup=4, betas=(0.8, 0.95))
    ours = {"w": torch.tensor([[1.0, -2.0], [0.5, 3.0]])}
    theirs = ours["w"].clone().requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.1, betas=(0.8, 0.95))
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / 4))
    means, squares = ({"w": torch.zeros(2, 2)} for _ in range(2))
    for update in range(1, 8):
        gradient = torch.sin(update * torch.arange(4.0).view(2, 2) + 1)
        (row,) = adam_coefficients({"net": adam}, {"net": update}, {"net": 7})
        adam_step(adam, ours, {"w": gradient}, means, squares, torch.tensor(row))
        theirs.grad = gradient.clone()
        optimizer.step()
        warm_up.step()
        torch.testing.assert_close(ours["w"], theirs.detach(), rtol=1e-5, atol=1e-6)


def test_annealing_to_a_floor_and_decay_of_some_equal_those_of_torch() -> None:
    adam = Adam(0.1, cosine_decay=True, floor=0.3, weight_decay=0.5, decayed="w")
    ours = {name: torch.tensor([[1.0, -2.0], [0.5, 3.0]]) for name in ("weight", "bias")}
    theirs = {name: value.clone().requires_grad_() for name, value in ours.items()}
    groups = [
        {"params": [theirs["weight"]], "weight_decay": 0.5},
        {"params": [theirs["bias"]], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: max(0.3, 0.5 * (1 + math.cos(math.pi * k / 7)))
    )
    means, squares = ({name: torch.zeros(2, 2) for name in ours} for _ in range(2))
    for update in range(1, 8):
        gradients = {name: torch.sin(update * ours[name] + 1) for name in ours}
        (row,) = adam_coefficients({"net": adam}, {"net": update}, {"net": 7})
        adam_step(adam, ours, gradients, means, squares, torch.tensor(row))
        for name, gradient in gradients.items():
            theirs[name].grad = gradient
        optimizer.step()
        rate.step()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name].detach(), rtol=1e-5, atol=1e-6)
