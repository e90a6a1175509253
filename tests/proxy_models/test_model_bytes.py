"""A model's file is the same bytes in every process."""

import json
import os
import subprocess
import sys

import numpy as np
from safetensors.numpy import load, save

from gristmill.proxy_models.model_files import in_order

PROGRAM = """
import hashlib, numpy as np
from safetensors.numpy import save
from gristmill.proxy_models.model_files import in_order
names = {name: name for name in ("tokenizer", "config", "seen", "a", "b", "c")}
print(hashlib.blake2b(in_order(save({"y": np.arange(3), "x": np.ones(2)}, names))).hexdigest())
"""


def test_the_header_is_in_one_order_whatever_the_process_and_hashes_are():
    told = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        told.add(
            subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True).stdout
        )
    assert len(told) == 1


def test_the_tensors_and_their_description_stay_as_they_were():
    tensors = {"y": np.arange(3), "x": np.ones((2, 5), np.float32)}
    data = in_order(save(tensors, {"z": "1", "a": "2"}))
    read = load(data)
    assert {name: tensor.tolist() for name, tensor in read.items()} == {n: t.tolist() for n, t in tensors.items()}
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length])["__metadata__"] == {"z": "1", "a": "2"}
