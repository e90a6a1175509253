"""The floor of each kernel on paper, and what the code moves: the tables of docs/gpu.md.

Floors are the bytes that have to be read and written once and the operations of the products, over 3.0 TB/s and 798
TFLOP/s (dense bfloat16, as an 8192^3 product reached on an H200). What the code moves is counted: the steps run on meta
tensors, which compute nothing, and every operation's tensors are added up. Attention is counted as one kernel each way.

    python -m benchmarks.gpu_floors            prints the tables
    python -m benchmarks.gpu_floors --write    puts them into docs/gpu.md
    python -m benchmarks.gpu_floors --check    exits 1 where the page has others
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._traffic import Traffic
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.fleets.graph import GraphedStep
from gristmill.proxy_models.fleets.group import Group
from gristmill.proxy_models.fleets.order import DataOrder
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.training.objectives.objective import Objective
from gristmill.training.transformer import Transformer, block_parameters, flops_per_token, size

BANDWIDTH, PRODUCTS = 3.0e12, 798e12
PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
BEGIN, END = "<!-- floors: written by benchmarks/gpu_floors.py -->\n", "<!-- end of floors -->\n"
VOCABULARY, MODELS = 8192, 4


@contextmanager
def one_kernel_of_attention(told: Traffic) -> Iterator[None]:
    """SDPA as a kernel that keeps no scores: it reads queries, keys and values and writes what was attended."""

    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            out = torch.empty_like(q)
            ctx.save_for_backward(q, k, v, out)
            told.count("attention", q, k, v, out)
            return out

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            saved = ctx.saved_tensors
            found = tuple(torch.empty_like(tensor) for tensor in saved[:3])
            told.count("attention backward", *saved, grads[0], *found)
            return found

    plain = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = lambda q, k, v, **_: Attention.apply(q, k, v)  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = plain


def fleet_step(sequences: int, kernels: bool) -> Traffic:
    """What a step of four of RegMix's models moves, by torch's operations or with the kernels of their own."""
    settings = FleetSettings(
        n_layers=2, d_model=256, n_heads=8, d_ff=512, seq_len=256, sequences=sequences, steps=100, device="cpu"
    )
    documents = [np.arange(1, 4000) % VOCABULARY]
    pool = TokenPool.from_documents({"a": documents, "b": documents}, {"a": (documents, 9000)}, VOCABULARY)
    order = DataOrder(pool, np.full((MODELS, 2), 0.5), [0] * MODELS, settings.seq_len, settings.sequences)
    group = Group(pool, order, settings, [1e-3] * MODELS, None, "meta")
    step, told = GraphedStep(group), Traffic()
    if kernels:

        def terms(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            losses = torch.empty(logits.shape[:-1], dtype=torch.float32, device="meta")
            told.count("kernel of the loss", logits, targets, losses, logits)
            return losses, logits

        def update(weights: list[Tensor], gradients: list[Tensor], state: Any, *_: Any) -> None:
            for parts in zip(weights, gradients, state.first, state.second, strict=True):
                told.count("kernel of AdamW", *parts, parts[0], parts[2], parts[3])

        group._terms, step.update = terms, update
    with told, one_kernel_of_attention(told):
        step.body()
    return told


def fleet_floor(sequences: int) -> tuple[float, float]:
    """Bytes and operations that a token of such a fleet needs at least: weights, moments and gradients once a step;
    what stands between products once each way."""
    config = size("2x256x8", VOCABULARY, 256, d_ff=512)
    parameters = block_parameters(config) + 2 * config.padded_vocab * config.d_model
    width = 6 * config.d_model + config.qkv_width + 3 * config.d_ff  # of a block, written and read, forward and back
    activations = config.n_layers * width * 2 * 4 + 2 * VOCABULARY * 4
    return 32 * parameters / (sequences * 256) + activations, flops_per_token(config, 256) - 12 * 2 * 256 * 128


def loop_step(name: str, length: int, rows: int) -> tuple[Traffic, Transformer]:
    """What one micro-batch of the loop moves where nothing is compiled."""
    with torch.device("meta"):
        model = Transformer(size(name, 32_768, length), 0, torch.bfloat16)
    ids = torch.zeros((rows, length), dtype=torch.int64, device="meta")
    told = Traffic()
    with told, one_kernel_of_attention(told):
        loss, _ = Objective(model, 0.0)(ids, ids, torch.ones((rows, length), device="meta"))
        loss.backward()
    return told, model


def weight_casts(told: Traffic, model: Transformer) -> float:
    """Seconds that casting weights, and their gradients back, takes in a micro-batch."""
    shapes = {tuple(own) for p in model.parameters() for own in (p.shape, p.shape[::-1])}
    return (
        sum(moved for (name, shape), moved in told.shapes.items() if name == "_to_copy" and shape in shapes) / BANDWIDTH
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def fleets_table() -> str:
    rows = []
    for sequences in (32, 8):
        tokens = sequences * 256
        floor, flops = fleet_floor(sequences)
        ways: list[tuple[str, float]] = [("floor", floor)]
        ways += [(how, fleet_step(sequences, own).total / (MODELS * tokens)) for how, own in (
            ("torch's operations", False), ("with the two kernels", True))]  # fmt: skip
        rows += [
            (
                f"{tokens:,}",
                how,
                f"{moved / 1e3:,.0f}",
                f"{BANDWIDTH / moved / 1e6:.1f}",
                f"{PRODUCTS / flops / 1e6:.0f}",
            )
            for how, moved in ways
        ]
    return table(
        ("tokens a model and step", "way", "kB moved a token", "M tokens/s by bytes", "M tokens/s by operations"), rows
    )


def loop_table() -> str:
    rows = []
    for name, length, count in (("60m", 2048, 32), ("150m", 2048, 16), ("350m", 2048, 8)):
        told, model = loop_step(name, length, count)
        tokens, parameters = length * count, sum(p.numel() for p in model.parameters())
        products = flops_per_token(model.config, length) * tokens / PRODUCTS
        casts = weight_casts(told, model)
        head = 4 * model.head_weight.numel() * 5 / BANDWIDTH  # zeros, sum, the loss's gradient times it, into .grad
        optimiser = 28 * parameters / BANDWIDTH
        rows.append((
            name, f"{tokens:,}", f"{products * 1e3:.1f}", f"{casts * 1e3:.2f}", f"{head * 1e3:.2f}",
            f"{(told.total / BANDWIDTH - casts) * 1e3:.1f}", f"{optimiser * 1e3:.2f}",
        ))  # fmt: skip
    return table((
        "model", "tokens a micro-batch", "products, ms", "casts of weights and their gradients, ms",
        "gradient of the head in float32, ms",
        "all else, not fused, ms", "AdamW, ms a step",
    ), rows)  # fmt: skip


def kernels_table() -> str:
    told, kernels = fleet_step(8, False), fleet_step(8, True)
    config = size("2x256x8", VOCABULARY, 256, d_ff=512)
    parameters = MODELS * sum(weight.numel() for weight in Transformer(config).parameters())
    logits = MODELS * 8 * 256 * VOCABULARY
    both = set(told.bytes) | set(kernels.bytes)
    apart = {name: told.bytes[name] - kernels.bytes[name] for name in both}
    saved = sum(apart[name] for name in both if not name.startswith("kernel"))
    rows = [
        ("loss of a row and its gradient", "4", f"{kernels.bytes['kernel of the loss'] / logits:.1f} a logit"),
        ("AdamW of stacked models", "28", f"{kernels.bytes['kernel of AdamW'] / parameters:.1f} a parameter"),
        ("both by torch's operations", "", f"{saved / (MODELS * 8 * 256) / 1e3:,.0f} kB a token at 2,048 a step"),
        ("operations of a step", "", f"{sum(told.calls.values())} by torch's, {sum(kernels.calls.values())} with both"),
    ]
    return table(("kernel", "bytes at least", "bytes moved"), rows)


def tables() -> str:
    parts: list[tuple[str, Callable[[], str]]] = [
        ("Fleets, RegMix's trunk (2 x 256, V = 8,192)", fleets_table), ("Kernels of fleets", kernels_table),
        ("The loop, one micro-batch at V = 32,768", loop_table),
    ]  # fmt: skip
    return "\n".join(f"### {title}\n\n{make()}" for title, make in parts)


def main(arguments: list[str]) -> int:
    made = tables()
    if not arguments:
        print(made)
        return 0
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    now = f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}"
    if arguments == ["--write"]:
        PAGE.write_text(now, encoding="utf-8")
    return int(now != page and arguments == ["--check"])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
