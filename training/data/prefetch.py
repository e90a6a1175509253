"""Batches ahead of time: a thread reads the next steps while the model works on this one.

The thread follows the positions it is given, so what it yields is what `Loader.batch` would have returned. On CUDA the
arrays are pinned and copied without waiting.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .loader import Batch
from .packing import IGNORED

AHEAD = 2


@dataclass(frozen=True)
class Prepared:
    """A batch as tensors on the device."""

    ids: Tensor
    targets: Tensor
    documents: Tensor | None
    domains: Tensor  # (R,) int64
    counts: np.ndarray  # (D,) int64 targets with loss by domain, at least as long as the largest domain number
    phase: int


def on_device(batch: Batch, device: torch.device) -> Prepared:
    def move(array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor

    documents = move(batch.documents) if len(batch.documents) else None
    counts = np.bincount(batch.domains, (batch.targets != IGNORED).sum(1)).astype(np.int64)
    return Prepared(move(batch.ids), move(batch.targets), documents, move(batch.domains), counts, batch.phase)


class Prefetcher:
    """Iterate over `read(step)` for steps in [start, stop). Close it to stop early."""

    def __init__(self, read: Callable[[int], Batch], start: int, stop: int, device: torch.device) -> None:
        self._device, self._stopped = device, threading.Event()
        self._queue: queue.Queue[Batch | BaseException | None] = queue.Queue(AHEAD)
        self._thread = threading.Thread(target=self._work, args=(read, start, stop), name="prefetch", daemon=True)
        self._thread.start()

    def _work(self, read: Callable[[int], Batch], start: int, stop: int) -> None:
        try:
            for step in range(start, stop):
                if not self._put(read(step)):
                    return
            self._put(None)
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def _put(self, item: Batch | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Prepared]:
        while True:
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield on_device(item, self._device)

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
