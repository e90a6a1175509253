"""Claim: every path that a GPU takes gives what its twin on a CPU gives, on random weights.

One list: fleets (stacked, one after another, graphed, compiled, resumed, and the kernels of their own), the loop
(plain, micro-batches, compiled, document masks, z-loss, reweighting, soft labels, every optimiser, every schedule;
resumed and rolled back), readers with and without details, embeddings, and the `transformers` engine. Each twin is
float32 (readers: float64) on the CPU, and each difference is held to a tolerance of the dtype that the device computes
in. One row of JSON a case.

    python -m benchmarks.gpu_twins [NAME ...]           on the CUDA device; exits 77 where there is none
    python -m benchmarks.gpu_twins --quick [NAME ...]   the same list with the CPU in the device's place

Where the CPU stands in, a kernel of the GPU has no twin and is left out by name, and `torch.compile` traces without
generating code.
"""

import contextlib
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gristmill.proxy_models.fleets import heads
from gristmill.proxy_models.fleets.fleet import FleetSettings, train_fleet
from gristmill.proxy_models.fleets.graph import GraphedGroup
from gristmill.proxy_models.fleets.group import Group
from gristmill.proxy_models.fleets.order import DataOrder
from gristmill.proxy_models.fleets.pool import TokenPool
from gristmill.proxy_models.fleets.stacked_optimizer import AdamState, AdamW
from gristmill.proxy_models.scoring.reader import Reader
from gristmill.proxy_models.scoring.token_losses import token_losses
from gristmill.training import checkpoint
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.shards import TokenDomain, TokenFacts
from gristmill.training.evaluation import held_out_rows
from gristmill.training.loggers.metrics import read_metrics
from gristmill.training.loop import Run, pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.transformer import Transformer, TransformerConfig

WIDTH = {"float32": 2e-4, "bfloat16": 3e-2}  # of losses near 4 nats; bfloat16 has eight bits
VOCAB = 120
FLEET = FleetSettings(
    n_layers=2, d_model=32, n_heads=2, d_ff=64, seq_len=16, sequences=2, steps=6, warmup=2, evaluations=2,
    execution="stacked", lr=3e-3, epsilon=1e-6,
)  # fmt: skip
CONFIG = TransformerConfig(2, 32, 2, 1, 64, vocab_size=VOCAB, max_len=32)
SCHEDULES = ("constant", "linear", "cosine", "wsd", "power", "infinite")
STEPS = 8


class LeftOut(Exception):
    """A case that cannot run here, and why."""


def documents(seed: int, count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [
        np.array([0, *(2 + np.cumsum(generator.integers(1, 5, 40)) % (VOCAB - 2)), 1], np.uint16) for _ in range(count)
    ]


def on(device: str) -> dict[str, Any]:
    return {"device": "cuda" if device.startswith("cuda") else "cpu"}


# ---- fleets


@functools.cache
def pool() -> TokenPool:
    train = {name: documents(seed, 12) for seed, name in enumerate("abc")}
    return TokenPool.from_documents(train, {"a": (documents(9, 2), 300)}, VOCAB)


def fleet_losses(kind: type[Group], device: str, models: int = 3, **changes: object) -> np.ndarray:
    """(K, steps) losses of each step."""
    settings = FLEET.model_copy(update=changes)
    mixtures = np.random.default_rng(1).dirichlet([1, 1, 1], 3)[:models]
    order = DataOrder(pool(), mixtures, [0] * models, settings.seq_len, settings.sequences)
    group = kind(pool(), order, settings, [3e-3] * models, None, device)
    return np.stack([group.step().cpu().numpy().copy() for _ in range(settings.steps)], 1)


@functools.cache
def plain_losses(models: int) -> np.ndarray:
    """(K, steps): plain transformers one after another on the same rows, full logits, torch's AdamW and clipping."""
    told, mixtures = np.zeros((models, FLEET.steps)), np.random.default_rng(1).dirichlet([1, 1, 1], 3)[:models]
    tokens = torch.from_numpy(np.concatenate([d.tokens for d in pool().domains]).astype(np.int64))
    order = DataOrder(pool(), mixtures, [0] * models, FLEET.seq_len, FLEET.sequences)
    for k in range(models):
        model = Transformer(FLEET.config(VOCAB), seed=0)
        parts = [[p for p in model.parameters() if p.ndim > 1], [p for p in model.parameters() if p.ndim == 1]]
        groups = [{"params": parts[0], "weight_decay": FLEET.weight_decay}, {"params": parts[1], "weight_decay": 0.0}]
        adam = torch.optim.AdamW(groups, betas=FLEET.betas, eps=FLEET.epsilon)
        for step in range(FLEET.steps):
            starts = torch.from_numpy(order.starts(step)[k])
            ids = tokens[starts[:, None] + torch.arange(FLEET.seq_len + 1)]
            loss = torch.nn.functional.cross_entropy(model.logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), FLEET.clip or float("inf"))
            for group in adam.param_groups:
                group["lr"] = 3e-3 * FLEET.rate(step)
            adam.step()
            told[k, step] = float(loss.detach())
    return told


def fleet(kind: type[Group], models: int = 3, **changes: object) -> Callable[[str], tuple[Any, Any]]:
    return lambda device: (fleet_losses(kind, device, models, **changes), plain_losses(models))


def fleet_resumed(device: str) -> tuple[Any, Any]:
    """Ended by an error after its first evaluation, called again; beside the same call uninterrupted."""
    mixtures = np.random.default_rng(1).dirichlet([1, 1, 1], 3)
    settings = FLEET.model_copy(update={"group": 2, **on(device)})

    def dies(step: int, _: int) -> None:
        if step == 4:
            raise InterruptedError

    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(InterruptedError):
            train_fleet(pool(), mixtures, settings, checkpoint=folder, after=dies)
        resumed = train_fleet(pool(), mixtures, settings, checkpoint=folder)
    whole = train_fleet(pool(), mixtures, FLEET.model_copy(update={"group": 2, "device": "cpu"}))
    return resumed.bits_per_byte, whole.bits_per_byte


def loss_kernel(device: str) -> tuple[Any, Any]:
    if not heads.has_kernels(device):
        raise LeftOut("the kernels need a CUDA device and Triton")
    from gristmill.proxy_models.fleets import gpu_kernels

    found, expected = [], []
    for vocab in (5, 1000, 8192, 32_768, 50_257):
        logits, targets = 3 * torch.randn(2, 7, vocab), torch.randint(0, vocab, (2, 7, 1))
        own = logits.to(device)
        found += [gpu_kernels.losses(own, targets.to(device)), *gpu_kernels.terms(own, targets.to(device))]
        nll, gradient = heads.terms(logits.double(), targets)
        expected += [nll, nll, gradient]
    return np.concatenate([flat(x) for x in found]), np.concatenate([flat(x) for x in expected])


def adamw_kernel(device: str) -> tuple[Any, Any]:
    if not heads.has_kernels(device):
        raise LeftOut("the kernels need a CUDA device and Triton")
    from gristmill.proxy_models.fleets import gpu_kernels

    update, shapes = AdamW(0.9, 0.95, 1e-8, 0.1, (True, False)), ((3, 700, 33), (3, 7))
    begun, gradients = [torch.randn(shape) for shape in shapes], [torch.randn(shape) for shape in shapes]
    told = torch.tensor([1e-2, 2e-2, 3e-2]), torch.tensor([True, False, True])
    ends = []
    for place, step in ((device, functools.partial(gpu_kernels.adamw, update)), ("cpu", update.elementwise)):
        weights = [tensor.clone().to(place) for tensor in begun]
        state, updates = AdamState.zeros(weights), torch.tensor(0.0, device=place)
        for _ in range(3):
            own = [gradient.to(place) for gradient in gradients]
            scales = torch.tensor([0.5, 1.0, 0.7], device=place)
            step(weights, own, state, *(one.to(place) for one in told), updates, scales)
        ends.append(np.concatenate([flat(weight) for weight in weights]))
    return ends[0], ends[1]


# ---- the loop


def domain(seed: int, count: int, split: str = "train") -> TokenDomain:
    facts = TokenFacts("tokenizer", VOCAB, 0, 1)
    made = documents(seed, count)
    return TokenDomain.from_documents("abc"[seed % 3], made, facts, [3 * (len(one) - 2) for one in made], split=split)


def trained(device: str, dtype: str, folder: str, **settings: object) -> list[float]:
    """Losses of all steps, then bits per byte, of a run with these settings."""
    loader = Loader({"a": domain(0, 60), "b": domain(1, 60)}, [Phase(1.0, {"a": 2, "b": 1}, 32)], STEPS * 256, 256)
    told = {"compile": False, "checkpoint_every": 4, "log_every": 1, "dtype": dtype, **on(device), **settings}
    card = pretrain(
        Transformer(CONFIG, 1), loader, LoopSettings(**told), folder, {"a": held_out_rows(domain(3, 4, "heldout"), 32)}
    )
    lines = read_metrics(f"{folder}/metrics.jsonl")
    return [*(line["loss"] for line in lines if "loss" in line), *card["bits_per_byte"].values()]


def loop(dtype: str, **settings: object) -> Callable[[str], tuple[Any, Any]]:
    def case(device: str) -> tuple[Any, Any]:
        with tempfile.TemporaryDirectory() as folder:
            plain = settings | ({"compile": False} if "compile" in settings else {})
            found = trained(device, dtype, f"{folder}/device", **settings)
            return found, trained("cpu", "float32", f"{folder}/twin", **plain)

    return case


def soft_labels(dtype: str) -> Callable[[str], tuple[Any, Any]]:
    def case(device: str) -> tuple[Any, Any]:
        with tempfile.TemporaryDirectory() as folder:
            teacher = f"{folder}/teacher"
            checkpoint.save(teacher, Transformer(CONFIG, 7).state_dict(), {}, {"config": vars(CONFIG)})
            told = {"teacher": {"checkpoint": teacher, "until": 0.5, "k": 4, "share": 0.9}}
            found = trained(device, dtype, f"{folder}/device", **told)
            return found, trained("cpu", "float32", f"{folder}/twin", **told)

    return case


def broken(dtype: str, kind: str) -> Callable[[str], tuple[Any, Any]]:
    """A run that is ended in step 6 and called again, or whose loss is not finite in step 6 once."""

    def once(device: str, dtype: str, folder: str) -> list[float]:
        learn, left = Run.learn, [True]

        def bad(self: Run, batch: Any, rate: float) -> Tensor:
            losses = learn(self, batch, rate)
            if self.step == 6 and left.pop() if left else False:
                if kind == "resumed":
                    raise InterruptedError
                return losses * float("nan")
            return losses

        Run.learn = bad  # type: ignore[method-assign]
        try:
            return trained(device, dtype, folder)
        except InterruptedError:
            return trained(device, dtype, folder)
        finally:
            Run.learn = learn  # type: ignore[method-assign]

    def case(device: str) -> tuple[Any, Any]:
        with tempfile.TemporaryDirectory() as folder:
            twin = trained("cpu", "float32", f"{folder}/twin") if kind == "resumed" else None
            found = once(device, dtype, f"{folder}/device")
            return found, twin or once("cpu", "float32", f"{folder}/twin")

    return case


# ---- reading


def read(details: bool) -> Callable[[str], tuple[Any, Any]]:
    def case(device: str) -> tuple[Any, Any]:
        chunks = [np.arange(2, 2 + n) for n in (3, 9, 17, 31)]
        twin = Transformer(CONFIG, 3, torch.float64).double()
        own = Transformer(CONFIG, 3, torch.float32 if device == "cpu" else torch.bfloat16).to(device)
        told = [
            token_losses({"m": Reader(model.requires_grad_(False).eval())}, chunks, 0, details=details)["m"]
            for model in (own, twin)
        ]
        columns = ("nll", "mean", "spread") if details else ("nll",)
        return tuple(np.concatenate([getattr(one, name) for name in columns]) for one in told)  # type: ignore[return-value]

    return case


def embeddings(device: str) -> tuple[Any, Any]:
    from gristmill.proxy_models.model_files import ProxyModel
    from gristmill.proxy_models.scoring.embeddings import Embedder
    from gristmill.training.data.tokenizer import token_facts, train_tokenizer

    texts = ["the law of large numbers", "a court may order", "for i in range(10): print(i)"] * 20
    tokenizer = train_tokenizer(texts, 300)
    facts = token_facts(tokenizer)
    config = TransformerConfig(2, 32, 2, 2, 64, vocab_size=facts.vocab_size, max_len=32)
    model = ProxyModel(Transformer(config, 3).requires_grad_(False).eval(), facts.tokenizer)
    found = Embedder(tokenizer, model).embed(texts[:3])  # where there is a GPU it goes there by itself
    twin = Embedder(tokenizer, model)
    twin.reader = Reader(Transformer(config, 3).requires_grad_(False).eval())
    return found, twin.embed(texts[:3])


def engine(device: str) -> tuple[Any, Any]:
    """Logits after a prompt and after one more token, of a small random model as `transformers` runs it."""
    try:
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    except ImportError as error:
        raise LeftOut("transformers is not installed") from error
    from gristmill.proxy_models.engines.local import load_transformers
    from gristmill.training.data.tokenizer import load_tokenizer, train_tokenizer

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    told = load_tokenizer(train_tokenizer(["a court may order", "the law of large numbers"] * 20, 300))
    config = LlamaConfig(vocab_size=told.get_vocab_size(), max_position_embeddings=64, **shape)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        LlamaForCausalLM(config).save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=told, eos_token=told.id_to_token(1)).save_pretrained(folder)
        logits = []
        for place in (device, "cpu"):
            decoder = load_transformers(folder, place, torch.float32)
            first = decoder.start([[5, 6, 7], [8, 9]])
            logits.append(flat(torch.cat((first, decoder.step([10, 11])))))
    return logits[0], logits[1]


# ---- the list


def cases(device: str) -> dict[str, tuple[str, Callable[[str], tuple[Any, Any]]]]:
    """Name -> dtype of the tolerance, and what gives (found, expected)."""
    low = "float32" if device == "cpu" else "bfloat16"  # what fleets and readers compute in there
    found: dict[str, tuple[str, Callable[[str], tuple[Any, Any]]]] = {
        "fleet: stacked": (low, fleet(Group if device == "cpu" else GraphedGroup)),
        "fleet: one model": (low, fleet(Group if device == "cpu" else GraphedGroup, models=1)),
        "fleet: graphed": (low, fleet(GraphedGroup)),
        "fleet: compiled": (low, fleet(GraphedGroup, compile=True)),
        "fleet: resumed": (low, fleet_resumed),
        "fleet: kernel of the loss": ("float32", loss_kernel),
        "fleet: kernel of AdamW": ("float32", adamw_kernel),
        "read: losses": (low, read(False)),
        "read: details": (low, read(True)),
        "read: embeddings": (low, embeddings),
        "engine: transformers": ("float32", engine),
    }
    for dtype in ("float32", "bfloat16"):
        variants: dict[str, dict[str, Any]] = {
            "plain": {}, "micro-batches": {"micro_tokens": 64}, "compiled": {"compile": True},
            "document mask": {"document_mask": True},
            "document mask, compiled": {"document_mask": True, "compile": True},
            "z-loss": {"z_loss": 1e-3},
            "reweighting": {"reweighting": {"strategy": "linupper", "warmup": 0.1}},
            "reweighting, micro-batches": {"reweighting": {"strategy": "linupper", "warmup": 0.1}, "micro_tokens": 64},
        }  # fmt: skip
        variants |= {name: {"optimiser": {"name": name}} for name in ("adamw", "muon", "lion")}
        variants |= {f"schedule {kind}": {"schedule": {"kind": kind}} for kind in SCHEDULES}
        found |= {f"loop {dtype}: {name}": (dtype, loop(dtype, **told)) for name, told in variants.items()}
        found[f"loop {dtype}: soft labels"] = (dtype, soft_labels(dtype))
        for kind in ("resumed", "rolled back"):
            found[f"loop {dtype}: {kind}"] = (dtype, broken(dtype, kind))
    # Sophia draws labels from a generator of the device: the draws differ there, so the curvature does
    found["loop float32: sophia, before its curvature differs"] = ("float32", sophia)
    return found


def sophia(device: str) -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        told = {"optimiser": {"name": "sophia", "every": 10}}
        found = trained(device, "float32", f"{folder}/device", **told)
        twin = trained("cpu", "float32", f"{folder}/twin", **told)
    return found[:2], twin[:2]


def flat(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy().ravel()


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    names = [name for name in arguments if name != "--quick"]
    if quick:
        torch.compile = functools.partial(torch.compile, backend="aot_eager")  # type: ignore[assignment]
    elif not torch.cuda.is_available():
        print("gpu_twins needs a CUDA device and torch sees none here; nothing was compared")
        return 77
    torch.set_num_threads(1)
    device, off = "cpu" if quick else "cuda", 0
    for name, (dtype, case) in cases(device).items():
        if names and not any(one in name for one in names):
            continue
        torch.manual_seed(0)
        began = time.perf_counter()
        row: dict[str, Any] = {"twin": name, "dtype": dtype}
        try:
            found, expected = (np.asarray(values, np.float64) for values in case(device))
            difference = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
            row |= {"values": int(found.size), "largest": float(f"{difference:.3g}"), "allowed": WIDTH[dtype]}
            row["equal"] = bool(difference <= WIDTH[dtype])  # NaN is not
        except LeftOut as why:
            row |= {"left_out": str(why)}
        except Exception as error:  # a case that fails is a row; the others still run, and the end says so
            row |= {"equal": False, "error": f"{type(error).__name__}: {error}"[:300]}
        off += row.get("equal") is False
        print(json.dumps(row | {"seconds": round(time.perf_counter() - began, 2)}), flush=True)
    print(f"{off} of the twins differ" if off else "all twins agree")
    return 1 if off else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
