"""A finished run that is asked for with other targets or other held-out text is measured by them, and its card says so.

The weights stay: what measures a run does not shape it. Refuses nothing.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ....corpus.store.shards import fingerprint
from ....training import checkpoint
from ....training.devices import pick_device
from ....training.evaluation import HeldOut, bits_per_byte
from ....training.loop import Probe
from ....training.run_folder import CARD, write_json

MEASURED = "measured"  # in the card: the fingerprint of what the run was measured by


def as_asked(
    folder: str, card: dict[str, Any], held_out: Mapping[str, HeldOut], probe: Probe | None, targets: Sequence[object]
) -> dict[str, Any]:
    """The card of a run that has ended, with the measures that are asked for now.

    targets  what `probe` is made of: checksums of its files, and how many items of each
    """
    if os.environ.get("RANK", "0") != "0":
        return card  # the first rank measures and writes
    told = {name: (held.tokens, held.bytes) for name, held in sorted(held_out.items())}
    asked = fingerprint(told, list(targets))
    before = card.get(MEASURED, asked)
    if before != asked:
        model, _ = checkpoint.load_model(folder)
        model.to(pick_device()).eval()
        card = {**card, "bits_per_byte": bits_per_byte(model, held_out), "targets": probe(model) if probe else {}}
    if card.get(MEASURED) != asked:
        card = {**card, MEASURED: asked}
        write_json(f"{folder}/{CARD}", card)
    return card
