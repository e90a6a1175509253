"""Local models through the one interface; the models are made and saved by the tests."""

import json
import shutil
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.rewrite.stage import RewriteSettings, run_rewrite
from gristmill.pipelines.stages.tag.lessons import LABEL, LabelSettings
from gristmill.proxy_models.engines.cache import RequestCache
from gristmill.proxy_models.engines.engine import Request, Spending, answer, choice_of, cost
from gristmill.proxy_models.engines.local import LocalEngine, allowed, pick, save_own, token_batches
from gristmill.proxy_models.engines.local_files import weights_fingerprint
from gristmill.proxy_models.engines.open import engine_settings, open_engine
from gristmill.training.transformer import Transformer, TransformerConfig

TEXT = ["The mill grinds the grain of the whole valley. ", "Science and arts, maths and law: 1 2 3 4 5 6 7 8 9 0."]


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXT * 20, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    )
    return made


@pytest.fixture(scope="module")
def causal(tmp_path_factory, tokenizer):
    transformers = pytest.importorskip("transformers")
    folder = str(tmp_path_factory.mktemp("causal"))
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        eos_token_id=0,
        bos_token_id=0,
        initializer_range=0.3,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory, tokenizer):
    folder = str(tmp_path_factory.mktemp("own"))
    model = Transformer(TransformerConfig(2, 32, 4, 2, 64, tokenizer.get_vocab_size(), max_len=128), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.2)
    save_own(folder, model, tokenizer, 0)
    return folder


@pytest.fixture(scope="module", params=["transformers", "gristmill"])
def settings(request):
    folder = request.getfixturevalue("causal" if request.param == "transformers" else "own")
    return {"kind": request.param, "path": folder, "device": "cpu"}


def ask(settings, requests, cache=None, **changes):
    return answer(open_engine(engine_settings({**settings, **changes})), requests, cache)[0]


def test_a_saved_model_answers_every_request_within_its_limit(settings):
    requests = [Request("The mill " * n, "Say it.", max_tokens=6) for n in (1, 5, 2, 9)]
    replies = ask(settings, requests)
    assert all(reply.error is None and 0 < reply.completion_tokens <= 6 for reply in replies)
    assert replies[0].prompt_tokens < replies[2].prompt_tokens < replies[1].prompt_tokens < replies[3].prompt_tokens
    assert replies == ask(settings, requests)


def test_a_row_does_not_depend_on_the_rows_beside_it(settings):
    requests = [Request("grain " * n, max_tokens=5) for n in (1, 7, 3)]
    together = ask(settings, requests)
    alone = [ask(settings, [request])[0] for request in requests]
    assert [reply.text for reply in together] == [reply.text for reply in alone]


def test_seeds_make_draws_repeatable_and_different(settings):
    draws = [Request("The mill", temperature=1.5, top_p=0.9, max_tokens=8, seed=seed) for seed in range(6)]
    replies = ask(settings, draws)
    assert [r.text for r in replies] == [r.text for r in ask(settings, list(reversed(draws)))][::-1]
    assert len({reply.text for reply in replies}) > 1


def test_a_choice_is_always_one_of_the_choices(settings):
    choices = ("Science", "Science and arts", "maths", "law")
    replies = ask(settings, [Request(f"{i} grain", choices=choices) for i in range(8)])
    assert {reply.text for reply in replies} <= set(choices)
    assert all(reply.error is None for reply in replies)


def test_a_prompt_that_does_not_fit_is_an_error_and_not_a_cut_prompt(settings):
    replies = ask(settings, [Request("grain " * 3000, max_tokens=4), Request("grain", max_tokens=4)])
    assert "do not fit" in replies[0].error
    assert replies[1].error is None


def test_a_run_that_was_cut_short_goes_on_with_the_same_batches(settings, tmp_path):
    requests = [Request("grain " * n, max_tokens=4, temperature=1.0, seed=n) for n in range(1, 9)]
    whole = ask(settings, requests, batch_tokens=60)
    engine = LocalEngine(engine_settings({**settings, "batch_tokens": 60}))
    seen = []
    real = engine._batch
    engine._batch = lambda some, prompts: seen.append(len(some)) or real(some, prompts)
    with RequestCache(str(tmp_path / "r.sqlite")) as cache:
        keys = [request.key(engine.model) for request in requests]
        cache.put([(keys[7], whole[7])])
        cache.flush()
        resumed, spending = answer(engine, requests, cache)
    assert resumed == whole
    assert spending.fresh == 7
    assert sum(seen) in (7, 8)  # the batch of the remembered one is computed again only if others in it are missing


def test_an_encoder_with_labels_chooses_among_them(tmp_path, tokenizer):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        id2label={0: "law", 1: "maths", 2: "arts"},
        label2id={"law": 0, "maths": 1, "arts": 2},
    )
    torch.manual_seed(0)
    folder = str(tmp_path)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<|endoftext|>").save_pretrained(folder)
    told = {"kind": "transformers", "path": folder, "device": "cpu"}
    replies = ask(told, [Request("grain " * n, choices=("maths", "law", "arts")) for n in (1, 100)])
    assert {reply.text for reply in replies} <= {"law", "maths", "arts"}
    with pytest.raises(RequestError, match="cooking"):
        ask(told, [Request("grain", choices=("maths", "cooking"))])


def test_the_fingerprint_of_a_model_follows_its_weights_and_not_its_place(own, tmp_path, tokenizer):
    shutil.copytree(own, tmp_path / "moved")
    assert weights_fingerprint(own) == weights_fingerprint(str(tmp_path / "moved"))
    save_own(str(tmp_path / "moved"), Transformer(TransformerConfig(2, 32, 4, 2, 64, 320, 128), seed=9), tokenizer, 0)
    assert weights_fingerprint(own) != weights_fingerprint(str(tmp_path / "moved"))


def test_a_training_run_answers_with_its_last_checkpoint(own, tmp_path, tokenizer):
    run = tmp_path / "runs" / "base"
    for step, seed in ((10, 5), (20, 1)):
        folder = run / "checkpoints" / f"step-{step:08d}"
        save_own(str(folder), Transformer(TransformerConfig(2, 32, 4, 2, 64, 320, 128), seed=seed), tokenizer, 0)
    shutil.copy(f"{own}/model.safetensors", run / "checkpoints" / "step-00000020" / "model.safetensors")
    config = vars(TransformerConfig(2, 32, 4, 2, 64, tokenizer.get_vocab_size(), 128))
    (run / "settings.json").write_text(json.dumps({"model": config}))
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    requests = [Request("The mill", max_tokens=5)]
    told = {"kind": "gristmill", "device": "cpu"}
    assert ask({**told, "path": str(run)}, requests) == ask({**told, "path": own}, requests)
    with pytest.raises(RequestError, match="neither"):
        ask({**told, "path": str(tmp_path / "tokenizer")}, requests)


def test_a_model_that_is_not_on_this_machine_is_refused():
    with pytest.raises(RequestError, match="not a folder"):
        weights_fingerprint("some-org/some-model")


@pytest.mark.parametrize("told", [{"kind": "endpoint", "url": "http://h/v1"}, {"kind": "oracle"}, {"knd": 1}])
def test_unusable_engine_settings_are_refused(told):
    with pytest.raises(RequestError, match="engine"):
        engine_settings(told)


@given(st.lists(st.integers(1, 200), max_size=40), st.integers(1, 400))
def test_batches_hold_every_row_once_and_stay_within_the_budget(lengths, budget):
    batches = token_batches(lengths, budget)
    assert sorted(at for batch in batches for at in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[at] for at in batch) * len(batch) <= budget


def test_choices_are_walked_token_by_token():
    paths = [[1, 2], [1, 3, 4], [1]]
    assert allowed(paths, [], frozenset([0])) == [1]
    assert allowed(paths, [1], frozenset([0])) == [0, 2, 3]
    assert allowed(paths, [1, 3], frozenset([0])) == [4]
    assert allowed([], [5], frozenset([0])) is None


def test_top_p_keeps_the_likeliest_tokens_only():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    draw = torch.Generator().manual_seed(0)
    request = Request("", temperature=1.0, top_p=0.6)
    assert {pick(logits, request, draw, None) for _ in range(200)} == {0, 1}
    assert {pick(logits, request, draw, [2, 3]) for _ in range(50)} == {2}


def test_replies_name_a_choice_whatever_their_dress():
    assert choice_of(' "Science". ', ["Arts", "Science"]) == "Science"
    assert choice_of("Science and more", ["Science"]) is None


def test_money_is_tokens_times_price():
    spending = Spending(requests=2, prompt_tokens=1_000_000, completion_tokens=500_000)
    assert cost(spending.counts(), 0.15, 0.60) == pytest.approx(0.45)


def test_a_local_model_runs_through_the_stages_and_every_document_ends_once(causal, make_documents, tmp_path):
    documents = [(f"{i:032x}", f"{i}. " + TEXT[i % 2] * 8) for i in range(9)]
    workspace = make_documents({"a.parquet": documents[:5], "b.parquet": documents[5:]})
    engine = {"kind": "transformers", "path": causal, "device": "cpu"}
    rewriting = RewriteSettings(engine=engine, chunk_tokens=60, styles=("easy",))
    counts = run_rewrite(workspace, rewriting, RunnerOptions(), quiet=True)["tables"]["rewrites"]
    assert counts["in"] == 9 == counts["kept"] + counts["failed"]
    assert counts["failed_requests"] == 0 < counts["completion_tokens"]
    (tmp_path / "tone.yaml").write_text("tone: {question: Which, labels: {law: x, maths: y}}")
    label = LabelSettings(engine=engine, taxonomies=("tone",), taxonomies_file=str(tmp_path / "tone.yaml"))
    run_stage(LABEL, workspace, label, RunnerOptions(), quiet=True)
    labels = [row for batch in workspace.table("labels").read() for row in batch.to_pylist()]
    assert sorted(row["id"] for row in labels) == [id for id, _ in documents]
    assert {row["label"] for row in labels} <= {"law", "maths"}


def test_vllm_that_is_not_installed_names_its_extra(own, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(RequestError, match="vllm"):
        open_engine(engine_settings({"kind": "vllm", "path": own}))
