"""Two ranks against one: the same stream, and the same weights up to the order of sums."""

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest
import torch

from gristmill.corpus.refusal import RequestError
from gristmill.training import checkpoint
from gristmill.training.distributed import Ranks, wrap
from gristmill.training.metrics import read_metrics

PROGRAM = textwrap.dedent(
    """
    import sys
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from conftest import counting
    from gristmill.training.evaluation import held_out_rows
    from test_loop import run
    pool = {"ones": counting("ones", 1, 120, 0), "twos": counting("twos", 2, 60, 1),
            "threes": counting("threes", 3, 200, 2)}
    held = {"twos": held_out_rows(counting("twos", 2, 12, 9, "heldout"), 32)}
    run(pool, held, sys.argv[2], steps=int(sys.argv[4]), parallel=sys.argv[3], micro_tokens=64)
    """
)


def on_ranks(world, folder, parallel, steps=20):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = os.path.dirname(__file__)
    processes = []
    for rank in range(world):
        environment = os.environ | {
            "WORLD_SIZE": str(world), "RANK": str(rank), "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, "-c", PROGRAM, here, str(folder), parallel, str(steps)]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * world, errors[0][-3000:] + errors[-1][-3000:]
    model, _, _ = checkpoint.load(checkpoint.path(f"{folder}/checkpoints", steps))
    with open(f"{folder}/run_card.json", encoding="utf-8") as file:
        return model, json.load(file), [line["loss"] for line in read_metrics(f"{folder}/metrics.jsonl")]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return on_ranks(1, tmp_path_factory.mktemp("alone"), "auto")


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_train_what_one_rank_trains(parallel, alone, tmp_path):
    model, card, losses = on_ranks(2, tmp_path, parallel)
    assert losses == pytest.approx(alone[2], rel=1e-3)
    assert card["realised"] == alone[1]["realised"]
    assert card["bits_per_byte"]["twos"] == pytest.approx(alone[1]["bits_per_byte"]["twos"], rel=0.01)
    for name, tensor in alone[0].items():
        torch.testing.assert_close(model[name], tensor, rtol=0.05, atol=5e-3)
    again = on_ranks(2, tmp_path, parallel)
    assert again[1] == card


def test_sharding_needs_several_ranks():
    with pytest.raises(RequestError, match="torchrun"):
        wrap(torch.nn.Linear(2, 2), "fsdp", Ranks(), torch.device("cpu"), torch.float32)
