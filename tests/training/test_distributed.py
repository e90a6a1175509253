"""Two ranks against one: the same stream, and the same weights up to the order of sums."""

import json
import math
import os
import socket
import subprocess
import sys
import textwrap

import pytest
import torch

from gristmill.corpus.store.errors import RequestError
from gristmill.training import checkpoint
from gristmill.training.distributed import Ranks, wrap
from gristmill.training.loggers.metrics import read_metrics

STEPS, MICRO = 12, 64  # four micro-batches a step on one rank, two on each of two
PROGRAM = textwrap.dedent(
    """
    import os, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from conftest import counting, run
    from gristmill.training.evaluation import held_out_rows
    pool = {"ones": counting("ones", 1, 120, 0), "twos": counting("twos", 2, 60, 1),
            "threes": counting("threes", 3, 200, 2)}
    held = {"twos": held_out_rows(counting("twos", 2, 12, 9, "heldout"), 32)}
    ids, targets = (torch.from_numpy(part) for part in (held["twos"].ids, held["twos"].targets))
    probe = lambda model: {"task": {"nats": float(model(ids, targets).detach().sum())}}
    for parallel, port in zip(("ddp", "fsdp"), sys.argv[5:], strict=True):
        os.environ["MASTER_PORT"] = port  # of its own: the store of the first group may still hold the other one
        folder, steps, micro = f"{sys.argv[2]}/{parallel}", int(sys.argv[3]), int(sys.argv[4])
        run(pool, held, folder, steps=steps, parallel=parallel, micro_tokens=micro, probe=probe)
    """
)


def told(folder):
    """Weights, card and losses of a finished run."""
    model, _, _ = checkpoint.load(checkpoint.path(f"{folder}/checkpoints", STEPS))
    with open(f"{folder}/run_card.json", encoding="utf-8") as file:
        return model, json.load(file), [line["loss"] for line in read_metrics(f"{folder}/metrics.jsonl")]


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """The folder in which two gloo ranks have trained one run under DDP and one under FSDP2."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = [str(free.getsockname()[1]) for free in (one, other)]
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            os.path.dirname(__file__),
            str(folder),
            str(STEPS),
            str(MICRO),
            *ports,
        ]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors[0][-3000:] + errors[1][-3000:]
    return folder


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_train_what_one_rank_trains(run, parallel, two_ranks, pool, held, tmp_path):
    run(pool, {"twos": held["twos"]}, tmp_path, steps=STEPS, micro_tokens=MICRO)
    alone, spread = told(tmp_path), told(two_ranks / parallel)
    assert spread[2] == pytest.approx(alone[2], rel=1e-3)
    assert spread[1]["realised"] == alone[1]["realised"]
    assert spread[1]["cost"]["ranks"] == 2
    assert spread[1]["bits_per_byte"]["twos"] == pytest.approx(alone[1]["bits_per_byte"]["twos"], rel=0.01)
    bits = spread[1]["targets"]["task"]["nats"] / math.log(2) / held["twos"].bytes
    assert bits == pytest.approx(spread[1]["bits_per_byte"]["twos"], rel=1e-4)
    for name, tensor in alone[0].items():
        torch.testing.assert_close(spread[0][name], tensor, rtol=0.05, atol=5e-3)


def test_a_sharded_run_goes_on_from_whole_tensors_on_one_rank(run, two_ranks, pool, held):
    """Checkpoints do not know how the run was spread."""
    model, card = run(pool, {"twos": held["twos"]}, two_ranks / "fsdp", steps=STEPS, micro_tokens=MICRO)
    assert card["steps"] == STEPS
    saved = told(two_ranks / "fsdp")[0]
    assert all(torch.equal(saved[name], tensor) for name, tensor in model.state_dict().items())


def test_sharding_needs_several_ranks():
    with pytest.raises(RequestError, match="torchrun"):
        wrap(torch.nn.Linear(2, 2), "fsdp", Ranks(), torch.device("cpu"), torch.float32)
