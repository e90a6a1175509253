"""Kinds of processors, told apart by the vector instructions that floating-point results may depend on.

What is counted and compared by integers is the same on all of them. What a model computes is a sum of products, and its
last digits follow the width of the vectors: equal on one kind, a little apart between two. So every shard that a model
computed counts on which kind it was, as `processor x86_64 avx2 avx512f`, and counts add up over the shards of a table.
The standard library alone: the file is also sent as text to workers on which nothing of ours may be installed.
"""

import os
import platform
from collections.abc import Mapping

SETS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "sve", "asimd")
NARROWER = {"default": (), "avx2": ("avx2",)}  # ATEN_CPU_CAPABILITY -> the sets that are left
COUNT = "processor "  # begins the names of such counts


def instruction_sets() -> list[str]:
    """The machine and those of `SETS` that it has; without those that ATEN_CPU_CAPABILITY takes away."""
    flags: set[str] = set()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    flags = set(line.split(":", 1)[1].split())
                    break
    left = NARROWER.get(os.environ.get("ATEN_CPU_CAPABILITY", ""), SETS)
    return [platform.machine(), *sorted(flags.intersection(SETS, left))]


def kind() -> str:
    """The kind of the processor of this process, in a line."""
    return " ".join(instruction_sets())


def kinds(counts: Mapping[str, int]) -> dict[str, int]:
    """kind -> shards of it, of the counts of a table."""
    return {name.removeprefix(COUNT): number for name, number in counts.items() if name.startswith(COUNT)}
