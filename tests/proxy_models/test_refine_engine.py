"""Programs written by a `transformers` model: a tiny one that the test teaches two answers, run through the stage."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gristmill.corpus.store.shards import read_batches
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.engine.stage import run_stage
from gristmill.pipelines.stages.refine.stage import REFINE, RefineSettings
from gristmill.proxy_models.engines.engine import chat_text
from gristmill.proxy_models.rewriting.refine import refine_requests

PROSE = "The mill grinds the grain of the whole valley, and nobody thought of moving it."
KEEP, REMOVE = "keep_doc()", "remove_lines(line_start=0, line_end=0)"


def page(at):
    return f"Home {at}\n{PROSE}\n{PROSE} And {at}."


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A model folder: whole documents are kept, of numbered lines the first one goes."""
    transformers = pytest.importorskip("transformers")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    pairs = []
    for at in range(6):
        whole, window = refine_requests(page(at), len, "prox")
        pairs += [(chat_text(whole), KEEP), (chat_text(window), REMOVE)]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([part for pair in pairs for part in pair] * 3, trainer)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        eos_token_id=0,
        bos_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    examples = []
    for prompt, reply in pairs:
        before, after = made.encode(prompt).ids, [*made.encode(reply).ids, 0]
        examples.append((torch.tensor([before + after]), torch.tensor([[-100] * len(before) + after])))
    for step in range(120):
        ids, labels = examples[step % len(examples)]
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = str(tmp_path_factory.mktemp("taught"))
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>").save_pretrained(folder)
    return folder


def test_a_local_model_writes_the_programs_of_a_workspace(taught, make_documents):
    documents = [(f"{at:032x}", page(at)) for at in range(6)]
    workspace = make_documents({"a.parquet": documents[:4], "b.parquet": documents[4:]})
    engine = {"kind": "transformers", "path": taught, "device": "cpu"}
    settings = RefineSettings(by="engine", engine=engine, dialect="prox")
    counts = run_stage(REFINE, workspace, settings, RunnerOptions(), quiet=True)["tables"]["decisions/refine"]
    assert (counts["in"], counts["kept"], counts["requests"], counts["failed_requests"]) == (6, 6, 12, 0)
    edits = {
        row["id"]: row["text"]
        for shard in ("a.parquet", "b.parquet")
        for batch in read_batches(workspace.table("edits/refine").shard_url(shard))
        for row in batch.to_pylist()
    }
    assert edits == {id: text.split("\n", 1)[1] for id, text in documents}
