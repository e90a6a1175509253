"""Models that answer in this process: any local `transformers` model, and our own transformer.

Both run through one decoding loop: requests are sorted by length and cut into batches by a budget of tokens, a
request draws from a random generator of its own, and a choice is decoded along the tokens of the choices alone.

Which requests share a batch depends on all requests of the call, answered or not; a batch in which something is
missing is computed whole. So a run that was killed goes on with the same arithmetic, bit for bit.
Refuses a prompt that does not fit the model's context: that request gets a reply with an error, never a cut prompt.
"""

import json
import os
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ...corpus.store.errors import MissingExtra, RequestError
from ...corpus.store.shards import fingerprint
from .cache import Reply
from .engine import Done, Request, chat_text
from .local_files import OWN_CONFIG, OWN_TOKENIZER, OWN_WEIGHTS, own_files
from .settings import LocalSettings


class Decoder(Protocol):
    """What the loop needs of a model."""

    eos: frozenset[int]
    context: int

    def encode(self, request: Request) -> list[int]: ...
    def encode_choice(self, choice: str) -> list[int]: ...
    def decode(self, ids: list[int]) -> str: ...
    def start(self, prompts: list[list[int]]) -> Tensor: ...  # logits (B, V) after each prompt
    def step(self, tokens: list[int]) -> Tensor: ...  # logits (B, V) after one more token in each row


class LocalEngine:
    """See the module."""

    whole = True

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings
        self.model = fingerprint(settings.recorded())
        device = settings.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        wide = settings.dtype == "float32" or (settings.dtype == "auto" and not device.startswith("cuda"))
        load = load_transformers if settings.kind == "transformers" else load_own
        self.decoder: Decoder | Classifier = load(settings.path, device, torch.float32 if wide else torch.bfloat16)

    def generate(self, requests: Sequence[Request], wanted: frozenset[int], done: Done) -> None:
        prompts = [self.decoder.encode(request) for request in requests]
        fitting = []
        for place, (prompt, request) in enumerate(zip(prompts, requests, strict=True)):
            needed = len(prompt) + (request.max_tokens if not request.choices else 0)
            if needed <= self.decoder.context:
                fitting.append(place)
            elif place in wanted:
                reason = f"{needed} tokens do not fit the model's context of {self.decoder.context}"
                done([(place, Reply("", "error", error=reason))])
        lengths = [len(prompts[place]) + requests[place].max_tokens for place in fitting]
        for batch in token_batches(lengths, self.settings.batch_tokens):
            places = [fitting[at] for at in batch]
            if wanted.isdisjoint(places):
                continue
            answers = self._batch([requests[place] for place in places], [prompts[place] for place in places])
            done([(place, reply) for place, reply in zip(places, answers, strict=True) if place in wanted])

    def _batch(self, requests: list[Request], prompts: list[list[int]]) -> list[Reply]:
        if isinstance(self.decoder, Classifier):
            return self.decoder.classify(requests, prompts)
        return decode_batch(self.decoder, requests, prompts)


def token_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Positions in batches of similar length, the longest first; a batch's rows x longest stays within the budget."""
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    batches: list[list[int]] = []
    for at in order:
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(at)
        else:
            batches.append([at])
    return batches


@torch.inference_mode()
def decode_batch(decoder: Decoder, requests: list[Request], prompts: list[list[int]]) -> list[Reply]:
    """Token by token until every row has ended, by its end token, its choices or its limit."""
    draws = [torch.Generator().manual_seed(request.seed % (1 << 63)) for request in requests]
    paths = [[decoder.encode_choice(choice) for choice in request.choices] for request in requests]
    replies: list[list[int]] = [[] for _ in requests]
    finish: list[Literal["stop", "length"] | None] = [None] * len(requests)
    logits = decoder.start(prompts).float().cpu()
    while True:
        for row, request in enumerate(requests):
            if finish[row] is not None:
                continue
            token = pick(logits[row], request, draws[row], allowed(paths[row], replies[row], decoder.eos))
            if token in decoder.eos:
                finish[row] = "stop"
                continue
            replies[row].append(token)
            if paths[row] and all(
                path == replies[row] or path[: len(replies[row])] != replies[row] for path in paths[row]
            ):
                finish[row] = "stop"  # one choice is complete and no longer one goes on from here
            elif not paths[row] and len(replies[row]) == request.max_tokens:
                finish[row] = "length"
        if all(finish):
            break
        pad = next(iter(decoder.eos), 0)
        logits = decoder.step(
            [reply[-1] if ended is None else pad for reply, ended in zip(replies, finish, strict=True)]
        )
        logits = logits.float().cpu()
    answers = []
    for request, prompt, reply, ended in zip(requests, prompts, replies, finish, strict=True):
        text = decoder.decode(reply)
        if request.choices:
            text = next(c for c in request.choices if decoder.encode_choice(c) == reply)
        answers.append(Reply(text.strip(), ended or "stop", len(prompt), len(reply)))
    return answers


def allowed(paths: list[list[int]], said: list[int], eos: frozenset[int]) -> list[int] | None:
    """Tokens that continue one of the choices, the end where one is complete; None where anything goes."""
    if not paths:
        return None
    alive = [path for path in paths if path[: len(said)] == said]
    tokens = {path[len(said)] for path in alive if len(path) > len(said)}
    if any(len(path) == len(said) for path in alive):
        tokens |= eos
    return sorted(tokens)


def pick(logits: Tensor, request: Request, draw: torch.Generator, among: list[int] | None) -> int:
    """The next token of a row, logits (V,): the likeliest, or a draw at the request's temperature and top-p."""
    if among is not None:
        kept = torch.full_like(logits, -torch.inf)
        kept[among] = logits[among]
        logits = kept
    if request.temperature <= 0:
        return int(logits.argmax())
    chances = torch.softmax(logits / request.temperature, dim=-1)
    ordered, index = chances.sort(descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered  # the likeliest token is always within
    ordered = torch.where(before < request.top_p, ordered, 0.0)
    return int(index[torch.multinomial(ordered / ordered.sum(), 1, generator=draw)])


class Classifier:
    """An encoder with a classification head: its reply to a request with choices is the likeliest of them."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.context = getattr(model.config, "max_position_embeddings", None) or 512
        self.labels = {str(label).casefold(): int(at) for at, label in model.config.id2label.items()}

    def encode(self, request: Request) -> list[int]:
        return self.tokenizer(request.document, truncation=True, max_length=self.context)["input_ids"]

    @torch.inference_mode()
    def classify(self, requests: list[Request], prompts: list[list[int]]) -> list[Reply]:
        inputs = self.tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self.model.device)
        logits = self.model(**inputs).logits.float().cpu()
        return [self._reply(row, request, len(p)) for row, request, p in zip(logits, requests, prompts, strict=True)]

    def _reply(self, logits: Tensor, request: Request, tokens: int) -> Reply:
        known = [choice for choice in request.choices if choice.casefold() in self.labels]
        if len(known) != len(request.choices) or not known:
            absent = sorted(set(request.choices) - set(known))
            raise RequestError(
                f"the encoder knows the labels {sorted(self.labels)}; it was asked for {absent or 'text'}"
            )
        return Reply(max(known, key=lambda choice: float(logits[self.labels[choice.casefold()]])), "stop", tokens, 1)


class CausalDecoder:
    """A causal model of `transformers`, prompts padded on the left, with its key/value cache."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.context = int(getattr(model.config, "max_position_embeddings", None) or 4096)
        ends = model.generation_config.eos_token_id if model.generation_config else None
        ends = tokenizer.eos_token_id if ends is None else ends
        self.eos = frozenset(ends if isinstance(ends, list) else [ends] if ends is not None else [])

    def encode(self, request: Request) -> list[int]:
        if getattr(self.tokenizer, "chat_template", None):
            turns = [{"role": "system", "content": request.system}] if request.system else []
            turns.append({"role": "user", "content": request.user})
            text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return list(self.tokenizer(chat_text(request))["input_ids"])

    def encode_choice(self, choice: str) -> list[int]:
        return list(self.tokenizer(choice, add_special_tokens=False)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def start(self, prompts: list[list[int]]) -> Tensor:
        longest = max(map(len, prompts))
        device = self.model.device
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
        self._mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
        self._cache = None
        return self._forward(ids, (self._mask.cumsum(-1) - 1).clamp(min=0))

    def step(self, tokens: list[int]) -> Tensor:
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        self._mask = torch.cat((self._mask, torch.ones_like(self._mask[:, :1])), dim=-1)
        return self._forward(ids, self._mask.sum(-1, keepdim=True) - 1)

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        told = self.model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = told.past_key_values
        return told.logits[:, -1]


def load_transformers(folder: str, device: str, dtype: torch.dtype) -> "CausalDecoder | Classifier":
    """A saved model and its tokenizer. Never reaches for a network, never runs code that came with the weights."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "models") from error
    transformers.utils.logging.disable_progress_bar()
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    labels = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    kind = transformers.AutoModelForSequenceClassification if labels else transformers.AutoModelForCausalLM
    model: Any = kind.from_pretrained(folder, local_files_only=True, dtype=dtype)
    model = model.to(device).eval()
    return Classifier(model, tokenizer) if labels else CausalDecoder(model, tokenizer)


class OwnDecoder:
    """Our transformer. It keeps no key/value cache, so each token reads its row again: for small models."""

    def __init__(self, model: Any, tokenizer: Any, eos: int | None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.context = model.config.max_len
        self.eos = frozenset([] if eos is None else [eos])

    def encode(self, request: Request) -> list[int]:
        return self.tokenizer.encode(chat_text(request)).ids

    def encode_choice(self, choice: str) -> list[int]:
        return self.tokenizer.encode(choice, add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def start(self, prompts: list[list[int]]) -> Tensor:
        self._rows = [list(prompt) for prompt in prompts]
        return self._forward()

    def step(self, tokens: list[int]) -> Tensor:
        for row, token in zip(self._rows, tokens, strict=True):
            row.append(token)
        return self._forward()

    def _forward(self) -> Tensor:
        longest = min(max(map(len, self._rows)), self.context)
        rows = [row[:longest] for row in self._rows]  # rows that ended may have grown past the context
        device = self.model.embed.weight.device
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        ends = torch.tensor([len(row) - 1 for row in rows], device=device)
        hidden = self.model(ids)[torch.arange(len(rows), device=device), ends]
        weight = self.model.head_weight[: self.model.config.vocab_size]
        return hidden.float() @ weight.float().T


def save_own(folder: str, model: Any, tokenizer: Any, eos: int | None) -> None:
    """Write a transformer of ours and its `tokenizers.Tokenizer` as a model folder for the engine `gristmill`."""
    from dataclasses import asdict

    from safetensors.torch import save_file

    os.makedirs(folder, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, f"{folder}/{OWN_WEIGHTS}")
    tokenizer.save(f"{folder}/{OWN_TOKENIZER}")
    with open(f"{folder}/{OWN_CONFIG}", "w", encoding="utf-8") as file:
        json.dump({"config": asdict(model.config), "eos": eos}, file, indent=1, sort_keys=True)


def load_own(folder: str, device: str, dtype: torch.dtype) -> OwnDecoder:
    """A folder that `save_own` wrote, or a run of `gristmill train` with the tokenizer of its workspace."""
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    from ...training.data.tokenizer import token_facts
    from ...training.transformer import Transformer, TransformerConfig

    files = own_files(folder)
    if files is None or not os.path.exists(files.tokenizer):
        raise RequestError(f"{folder} is neither a model that save_own wrote nor a run of gristmill train")
    with open(files.config, encoding="utf-8") as file:
        told = json.load(file)
    model = Transformer(TransformerConfig(**told.get("config", told.get("model"))), compute_dtype=dtype)
    model.load_state_dict(load_file(files.weights))
    if "config" in told:
        eos = told["eos"]
    else:
        with open(files.tokenizer, encoding="utf-8") as file:
            facts = token_facts(file.read())
        eos = facts.bos if facts.eos is None else facts.eos
    return OwnDecoder(model.to(device).eval(), Tokenizer.from_file(files.tokenizer), eos)
