"""Adam's own β and warm-up against torch's."""

from __future__ import annotations

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
