"""Samples: what a model writes at each measuring, with a seed, the same after a stop."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.training.data.tokenizer import load_tokenizer, token_facts, train_tokenizer
from gristmill.training.loggers.samples import SAMPLES, put_samples, sampler_of, written_on
from gristmill.training.loop_settings import SampleSettings
from gristmill.training.transformer import Transformer, TransformerConfig


class Stopped(Exception):
    """Stands for a power cut."""


def stop_at(monkeypatch, step):
    from gristmill.training.loop import Run

    learn = Run.learn

    def stopping(self, *given):
        if self.step == step:
            raise Stopped
        return learn(self, *given)

    monkeypatch.setattr(Run, "learn", stopping)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


TEXT = train_tokenizer(["the mill of grain and stone by water"] * 3, 300)
FACTS = token_facts(TEXT)
CONFIG = TransformerConfig(2, 32, 2, 2, 64, vocab_size=FACTS.vocab_size, max_len=24)


def learnt() -> Transformer:
    """A model whose draws differ: maps into the stream begin at zero, and so would say little."""
    model = Transformer(CONFIG, seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


MODEL = learnt()


def counting_sampler(model):
    """What `run`'s models of numbers write: the tokens as they are."""
    return [
        {"place": n, "prompt": str(first), "text": str(written_on(model, [0, first], 6, 0.8, n, 1)), "seed": n}
        for n, first in enumerate((5, 9))
    ]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(["", "the mill", "grain", "✓ of"]), min_size=1, max_size=4), st.integers(0, 99),
       st.sampled_from([0.0, 0.7, 1e-300, 50.0]))  # fmt: skip
def test_what_is_written_behind_a_prompt_depends_on_weights_prompt_and_seed_alone(prompts, seed, temperature):
    asked = SampleSettings(prompts=tuple(prompts), tokens=5, temperature=temperature, seed=seed)
    tokenizer = load_tokenizer(TEXT)
    rows = sampler_of(asked, tokenizer, FACTS.bos, FACTS.eos, 24)(MODEL)
    torch.rand(7)  # whatever else draws numbers
    assert rows == sampler_of(asked, tokenizer, FACTS.bos, FACTS.eos, 24)(MODEL)
    assert [row["prompt"] for row in rows] == prompts
    alone = asked.model_copy(update={"prompts": (prompts[-1],), "seed": seed + len(prompts) - 1})
    (row,) = sampler_of(alone, tokenizer, FACTS.bos, FACTS.eos, 24)(MODEL)
    assert row["text"] == rows[-1]["text"]


def test_the_most_likely_token_is_taken_at_temperature_zero():
    ids = [FACTS.bos, 7, 8]
    found = written_on(MODEL, ids, 4, 0.0, 0, -1)
    for n, token in enumerate(found):
        with torch.no_grad():
            assert token == int(MODEL.logits(torch.tensor([ids + found[:n]]))[0, -1].argmax())


def test_a_sample_ends_with_the_context_and_with_the_token_that_ends_documents():
    assert len(written_on(MODEL, [FACTS.bos] * 20, 99, 0.8, 0, -1)) == 4
    first = written_on(MODEL, [FACTS.bos], 1, 0.0, 0, -1)[0]
    assert written_on(MODEL, [FACTS.bos], 9, 0.0, 0, first) == []


def test_a_prompt_that_fills_the_context_is_refused():
    with pytest.raises(RequestError, match=r"has \d+ tokens and the context 4"):
        sampler_of(SampleSettings(prompts=("mill grain stone water",)), load_tokenizer(TEXT), FACTS.bos, FACTS.eos, 4)


def test_samples_are_told_once_a_measuring_and_are_the_same_after_a_stop(run, pool, held, tmp_path, monkeypatch):
    options = {"evaluate_every": 5, "steps": 10, "checkpoint_every": 5}
    whole, _ = run(pool, held, tmp_path / "whole", sampler=counting_sampler, **options)
    with monkeypatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(Stopped):
            run(pool, held, tmp_path / "cut", sampler=counting_sampler, **options)
    run(pool, held, tmp_path / "cut", sampler=counting_sampler, **options)
    files = [(tmp_path / part / SAMPLES).read_bytes() for part in ("whole", "cut")]
    assert files[0] == files[1]
    lines = [json.loads(line) for line in files[0].splitlines()]
    assert [(line["step"], line["place"]) for line in lines] == [(s, n) for s in (5, 10) for n in (0, 1)]
    without, _ = run(pool, held, tmp_path / "without", **options)
    assert torch.equal(weights(whole), weights(without))
    assert not (tmp_path / "without" / SAMPLES).exists()


def test_samples_alone_are_reason_enough_to_measure(run, pool, tmp_path):
    run(pool, {}, tmp_path, steps=10, evaluate_every=5, sampler=counting_sampler)
    assert [json.loads(line)["step"] for line in (tmp_path / SAMPLES).open()] == [5, 5, 10, 10]


def test_samples_put_anew_lie_in_the_order_of_steps(tmp_path):
    put_samples(str(tmp_path / SAMPLES), [{"step": 2, "place": 0}, {"step": 1, "place": 1}, {"step": 1, "place": 0}])
    lines = [json.loads(line) for line in (tmp_path / SAMPLES).open()]
    assert [(line["step"], line["place"]) for line in lines] == [(1, 0), (1, 1), (2, 0)]
