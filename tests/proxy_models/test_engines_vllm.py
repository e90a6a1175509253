"""The vLLM engine against a stand-in with the signatures of vLLM: no GPU and no weights are needed."""

import sys
import types
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from gristmill.corpus.store.errors import MissingExtra
from gristmill.proxy_models.engines.cache import RequestCache
from gristmill.proxy_models.engines.engine import Request, answer
from gristmill.proxy_models.engines.vllm import VllmEngine, VllmSettings


@dataclass
class StructuredOutputsParams:
    json: str | dict | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    structured_outputs: StructuredOutputsParams | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    finish_reason: str | None = "stop"


@dataclass
class RequestOutput:
    prompt_token_ids: list[int] | None
    outputs: list[CompletionOutput] = field(default_factory=list)


class LLM:
    """Says a prompt's last word, cut at max_tokens characters; `calls` has what it was handed."""

    made: ClassVar[list["LLM"]] = []
    template: str | None = "a template"

    def __init__(self, model, *, enable_prefix_caching=None, max_model_len=None):
        self.told = (model, enable_prefix_caching, max_model_len)
        self.calls = []
        self.made.append(self)

    def get_tokenizer(self):
        return types.SimpleNamespace(chat_template=self.template)

    def _answer(self, prompt, sampling):
        said = prompt.split()[-1]
        if sampling.structured_outputs and said not in sampling.structured_outputs.choice:
            said = sampling.structured_outputs.choice[0]
        cut = said[: sampling.max_tokens]
        ended = "length" if cut != said else "stop"
        return RequestOutput(list(range(len(prompt.split()))), [CompletionOutput(0, f" {cut}", [1] * len(cut), ended)])

    def chat(self, messages, sampling_params=None, use_tqdm=True, lora_request=None, chat_template=None):
        self.calls.append(messages)
        prompts = ["\n\n".join(turn["content"] for turn in turns) for turns in messages]
        return [self._answer(*pair) for pair in zip(prompts, sampling_params, strict=True)]

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        self.calls.append(prompts)
        return [self._answer(*pair) for pair in zip(prompts, sampling_params, strict=True)]


@pytest.fixture
def settings(monkeypatch, tmp_path):
    vllm, sampling = types.ModuleType("vllm"), types.ModuleType("vllm.sampling_params")
    vars(vllm).update(LLM=LLM, SamplingParams=SamplingParams, sampling_params=sampling)
    vars(sampling).update(StructuredOutputsParams=StructuredOutputsParams)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", sampling)
    monkeypatch.setattr(LLM, "made", [])
    (tmp_path / "config.json").write_text("{}")
    return {"path": str(tmp_path), "options": {"max_model_len": 512}, "slice": 2}


def test_each_request_gets_its_own_reply_and_sampling_slice_by_slice(settings, tmp_path):
    engine = VllmEngine(VllmSettings(**settings))
    requests = [Request(f"word{i}", "Say", "You are.", max_tokens=4 + i % 2 * 9, temperature=0.5) for i in range(5)]
    with RequestCache(str(tmp_path / "replies.sqlite")) as cache:
        replies, spending = answer(engine, requests, cache)
        assert [reply.text for reply in replies] == ["word", "word1", "word", "word3", "word"]
        assert [reply.finish for reply in replies] == ["length", "stop"] * 2 + ["length"]
        assert (spending.prompt_tokens, spending.completion_tokens, spending.fresh) == (20, 22, 5)
        assert answer(engine, requests, cache)[1].fresh == 0
    assert LLM.made[0].told == (settings["path"], True, 512)
    assert [len(call) for call in LLM.made[0].calls] == [2, 2, 1]
    assert [turn["role"] for turn in LLM.made[0].calls[0][0]] == ["system", "user"]


def test_a_choice_is_a_constraint_of_the_sampling(settings):
    replies, _ = answer(VllmEngine(VllmSettings(**settings)), [Request("x", choices=("maths", "law"))])
    assert replies[0].text == "maths"


def test_a_model_without_a_chat_format_gets_the_plain_prompt(settings, monkeypatch):
    monkeypatch.setattr(LLM, "template", None)
    answer(VllmEngine(VllmSettings(**settings)), [Request("x", "Say", "You are.")])
    assert LLM.made[0].calls == [["You are.\n\nSay\n\nx\n\n"]]


def test_without_vllm_the_extra_is_named(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r"gristmill\[vllm\]"):
        VllmEngine(VllmSettings(**settings))
