"""Five targets scored by gristmill and by lm-evaluation-harness: the same small model, the same items.

Compared: bits per byte of the right answers, perplexity per token and, for multiple choice, accuracy by the sum, per
character, per byte and unconditioned, item by item. The harness tokenizes, cuts contexts, draws up requests, and
computes its metrics; the model behind its interface is ours. Fails where a figure differs by more than 1e-4 of itself
or an accuracy by an item. Needs lm_eval (and its datasets); without it the benchmark counts as skipped.

python -m benchmarks.harness
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from benchmarks._training_pairs import BATCH, DATA, LENGTH, even, new_model, train_and_held_out
from gristmill.training.data.loader import Loader, Phase
from gristmill.training.data.shards import TokenFacts
from gristmill.training.loop import pretrain
from gristmill.training.loop_settings import LoopSettings
from gristmill.training.optimisers import OptimiserSettings
from gristmill.training.targets import Item, Target, load_target, score
from gristmill.training.transformer import Transformer

try:
    from lm_eval import simple_evaluate, utils
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.task import ConfigurableTask
except ImportError:
    sys.stdout.write("skipped: lm_eval is not installed\n")
    sys.exit(77)

ITEMS, STEPS, CLOSE = 60, 60, 1e-4
NAMES = {"accuracy": "acc", "accuracy_per_character": "acc_norm", "accuracy_per_byte": "acc_bytes",
         "accuracy_unconditioned": "acc_mutual_info"}  # fmt: skip


class Peer(TemplateLM):
    """Our model as the harness sees it: tokens in, log-likelihoods out, one request at a time."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, facts: TokenFacts) -> None:
        super().__init__()
        self.model, self.encoder, self.facts, self.max_length = model, tokenizer, facts, LENGTH

    @property
    def eot_token_id(self) -> int:
        return self.facts.bos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:
        ids = self.encoder.encode(string, add_special_tokens=False).ids
        return ids if add_special_tokens is False else [self.facts.bos, *ids]

    @torch.no_grad()
    def _loglikelihood_tokens(self, requests: list, **_: object) -> list[tuple[float, bool]]:
        found = []
        for _, context, continuation in requests:
            tokens = torch.tensor((context + continuation)[-(self.max_length + 1) :])
            logp = torch.log_softmax(self.model.logits(tokens[None, :-1])[0].double(), -1)[-len(continuation) :]
            own = logp.gather(1, torch.tensor(continuation)[:, None])
            found.append((float(own.sum()), bool((logp.argmax(1) == torch.tensor(continuation)).all())))
        return found

    def loglikelihood_rolling(self, requests: list, disable_tqdm: bool = False) -> list[float]:
        found = []
        for request in requests:
            windows = utils.get_rolling_token_windows(
                self.tok_encode(request.args[0], False), self.prefix_token_id, self.max_length, 1
            )
            pairs = [(None, *utils.make_disjoint_window(window)) for window in windows]
            found.append(sum(value for value, _ in self._loglikelihood_tokens(pairs)))
        return found

    def generate_until(self, requests: list, disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError


def task_of(name: str, target: Target, folder: str) -> ConfigurableTask:
    """The target as a task of the harness, of the items that gristmill scores."""
    path = Path(folder) / f"{name}.jsonl"
    rows = [
        {"query": item.context, "choices": [text[1:] for text in item.continuations], "gold": item.gold}
        if target.choices
        else {"query": item.context, "text": item.continuations[0]}  # no delimiter is put between
        for item in target.items
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(path)}},
              "test_split": "test", "doc_to_text": "query", "doc_to_target": "text"}  # fmt: skip
    if target.choices:
        metrics = [{"metric": metric} for metric in NAMES.values()]
        (delimiter,) = {text[0] for item in target.items for text in item.continuations}  # a space, or a line's end
        config |= {"target_delimiter": delimiter}
        config |= {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold"}
    elif target.items[0].context:
        metrics = [{"metric": "perplexity"}]
        config |= {"output_type": "loglikelihood"}
    else:
        metrics = [{"metric": metric} for metric in ("bits_per_byte", "byte_perplexity")]
        config |= {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text"}
    return ConfigurableTask(config=config | {"metric_list": metrics})


def by_harness(peer: Peer, name: str, target: Target, folder: str) -> dict[str, float]:
    """The harness's figures under our names."""
    told = simple_evaluate(model=peer, tasks=[task_of(name, target, folder)], log_samples=True, bootstrap_iters=0)
    results, samples = told["results"][name], sorted(told["samples"][name], key=lambda one: one["doc_id"])
    nats, tokens = 0.0, 0
    for item, sample in zip(target.items, samples, strict=True):
        text = item.continuations[item.gold]
        value = sample["filtered_resps"][item.gold]
        nats -= value[0] if isinstance(value, (tuple, list)) else value
        encoded = peer._encode_pair(item.context, text)[1] if item.context else peer.tok_encode(text, False)
        tokens += len(encoded)
    size = sum(len(item.continuations[item.gold].encode()) for item in target.items)
    found = {"bits_per_byte": nats / math.log(2) / size, "perplexity": math.exp(nats / tokens)}
    for ours, theirs in (NAMES if target.choices else {}).items():
        found[ours] = results[f"{theirs},none"]
    if f"{'bits_per_byte'},none" in results:
        found["bits_per_byte"] = results["bits_per_byte,none"]
    return found


def fitting(target: Target, tokenizer: Tokenizer) -> Target:
    """The first items whose choices the model reads whole: the harness refuses longer ones."""
    texts = [[tokenizer.encode(text, add_special_tokens=False) for text in item.continuations] for item in target.items]
    items = [item for item, own in zip(target.items, texts, strict=True) if max(map(len, own)) <= LENGTH]
    return Target(target.name, tuple(items[:ITEMS]), target.choices)


def main() -> None:
    torch.set_num_threads(1)
    names = ("arc_easy.jsonl", "openbook_qa.jsonl", "piqa.jsonl", "lambada_openai.jsonl", "wikitext-2/valid.txt")
    files = [DATA / "targets" / name for name in names]
    if not all(file.exists() for file in files):
        sys.stdout.write(f"skipped: no targets under {DATA}; set GRISTMILL_DATA to the folder of the shared data\n")
        sys.exit(77)
    domains, _, tokenizer = train_and_held_out()
    facts, model = next(iter(domains.values())).facts, new_model(domains, 0)
    loader = Loader(domains, [Phase(1.0, even(domains), LENGTH)], STEPS * BATCH, BATCH, 0)
    settings = LoopSettings(optimiser=OptimiserSettings(rate=4e-3), device="cpu", compile=False)
    off = []
    with tempfile.TemporaryDirectory() as folder:
        pretrain(model, loader, settings, f"{folder}/run", {})
        peer = Peer(model, tokenizer, facts)
        for file in files:
            target = fitting(load_target(str(file), 2 * ITEMS), tokenizer)
            if not target.items[0].context:  # words for the harness to count, and a text longer than the context
                long = " ".join(item.continuations[0] for item in target.items[:20])
                target = Target(target.name, (*target.items, Item("", (long,))), False)
            ours, theirs = score(model, target, tokenizer, facts, LENGTH), by_harness(peer, file.stem, target, folder)
            print(f"{file.stem} ({len(target.items)} items)")
            for name, value in theirs.items():
                allowed = 0.5 / len(target.items) if name.startswith("accuracy") else CLOSE * abs(value)
                near = abs(ours[name] - value) <= allowed
                off += [] if near else [f"{file.stem} {name}"]
                print(f"  {name:24} gristmill {ours[name]:.6f}  lm_eval {value:.6f}{'' if near else '  DIFFERS'}")
    if off:
        sys.exit(f"differs: {', '.join(off)}")
    print(f"equal to {CLOSE:g}, accuracy to the item; numpy {np.__version__}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
