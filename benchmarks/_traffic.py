"""Operations and the bytes that they move, counted while code runs: on a CPU, or on meta tensors without computing.

Each operation reads its tensors and writes its results once, views move nothing, a dimension that is only expanded is
read once. That is what kernels that are not fused move through memory; caches are left out.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WRITES_ONLY = {"copy_", "fill_", "zero_"}  # these do not read what they overwrite
NOTHING = {"empty", "empty_like", "new_empty", "new_empty_strided", "empty_strided", "detach", "alias"}


class Traffic(TorchDispatchMode):
    """`calls` and `bytes` by operation, `shapes` by what it gives too, as `with Traffic() as told:` counted them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.shapes: Counter[tuple[str, tuple[int, ...]]] = Counter()  # bytes by operation and shape of what it gives

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        name = func._schema.name.split("::")[1]
        if func.is_view or name in NOTHING or name.startswith("_unsafe_view"):
            return found
        out = kwargs.get("out")
        read = tree_leaves((args, {key: value for key, value in kwargs.items() if key != "out"}))
        if name in WRITES_ONLY:
            read = read[1:]
        written = [out] if out is not None else tree_leaves(found)
        self.count(name, *read, *written)
        return found

    def count(self, name: str, *tensors: Any) -> None:
        """One operation that moves these tensors once each; what is no tensor moves nothing."""
        self.calls[name] += 1
        own = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
        total = sum(moved(tensor) for tensor in own)
        self.bytes[name] += total
        if own:
            self.shapes[name, tuple(own[-1].shape)] += total

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


def moved(tensor: Tensor) -> int:
    """Bytes of a tensor's elements, an expanded dimension once."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.element_size() * int(torch.Size([size if stride else min(size, 1) for size, stride in sizes]).numel())
