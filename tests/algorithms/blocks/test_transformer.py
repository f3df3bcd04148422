"""The transformer's blocks against PyTorch's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algorithms.blocks.transformer import Transformer
from algorithms.networks import Params

WIDTH, HIDDEN, HEADS, LENGTH = 8, 20, 2, 5


def layer_of(params: Params, slot: int, block: int) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, HIDDEN, dropout=0.0, batch_first=True, norm_first=True
    )
    attention = layer.self_attn
    for weight, bias, name in (
        (attention.in_proj_weight, attention.in_proj_bias, "qkv"),
        (attention.out_proj.weight, attention.out_proj.bias, "mixed"),
        (layer.linear1.weight, layer.linear1.bias, "up"),
        (layer.linear2.weight, layer.linear2.bias, "down"),
    ):
        weight.data = params[f"weight_{name}_{block}"][slot, 0].T
        bias.data = params[f"bias_{name}_{block}"][slot, 0, 0]
    for norm, name in ((layer.norm1, "attention"), (layer.norm2, "mlp")):
        norm.weight.data = params[f"scale_{name}_{block}"][slot, 0, 0]
        norm.bias.data = params[f"shift_{name}_{block}"][slot, 0, 0]
    return layer


def test_equals_pytorchs_encoder_layers_under_a_causal_mask() -> None:
    transformer = Transformer(WIDTH, (HIDDEN, HIDDEN), HEADS)
    generator = torch.Generator().manual_seed(0)

    def moved(x: Tensor) -> Tensor:
        return torch.stack([x + 0.3 * torch.randn(x.shape, generator=generator) for _ in range(2)])

    params = {name: moved(x) for name, x in transformer.init(generator).items()}
    tokens = torch.randn(2, 3, LENGTH, WIDTH, generator=generator)
    found = transformer(params, tokens)
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
    for slot in (0, 1):
        x = tokens[slot]
        for block in (0, 1):
            x = layer_of(params, slot, block)(x, src_mask=mask)
        scale, shift = (params[f"{name}_last"][slot, 0, 0] for name in ("scale", "shift"))
        expected = nn.functional.layer_norm(x, (WIDTH,), scale, shift)
        torch.testing.assert_close(found[slot], expected, rtol=1e-4, atol=1e-5)
