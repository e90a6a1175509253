"""Pre-mixed shards for trainers that have no mixtures: nanochat, nanoGPT, modded-nanogpt, litdata. Unit: tokens.

The whole run is written in training order, phases one after the other, so what such a trainer reads has the recipe's
shares at every point. Nothing is left to its sampler but to read on (nanoGPT draws windows at random: there the shares
hold for the run, not for its phases, so more than one phase is refused). Held-out documents become the validation file.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...corpus.store.errors import RequestError, WorkspaceError
from ...corpus.store.shards import replacing
from .frame import RANKS, Export, ExportJob, begin, need_held_out, refuse_others, used_domains
from .rows import MixedStream
from .token_files import write_litdata, write_modded, write_nanogpt

MODDED_TOKENS = 100_000_000  # of a file
MODDED_AHEAD = 2  # a step is read only where the file has one token more than its targets
NANOCHAT_CHARS = 250_000_000
NANOCHAT_GROUP = 1024


def stream(job: ExportJob, total: int | None = None) -> tuple[MixedStream, Iterator[tuple[str, np.ndarray]]]:
    """The stream of the whole run, of the recipe's tokens or of `total`, and its documents in order."""
    tokens = total or job.recipe.total_tokens
    mixed = MixedStream({name: job.tokens(name) for name in used_domains(job)}, job.seed)

    def documents() -> Iterator[tuple[str, np.ndarray]]:
        done = 0
        for phase in job.recipe.phases:
            upto = round(phase.until * tokens)
            yield from mixed.take(phase.shares, upto - done)
            done = upto

    return mixed, documents()


def nanogpt(job: ExportJob) -> Export:
    made = _begin(job, "nanogpt")
    if len(job.recipe.phases) > 1:
        raise RequestError("nanoGPT draws windows at random from one file: it cannot keep the order of phases")
    need_held_out(job, made)
    mixed, documents = stream(job)
    write_nanogpt(job.path("train.bin"), (tokens for _, tokens in documents), _vocabulary(job))
    write_nanogpt(job.path("val.bin"), _heldout(job), _vocabulary(job))
    made.files += ["train.bin", "val.bin"]
    return _finish(job, made, mixed)


def modded(job: ExportJob) -> Export:
    made = _begin(job, "modded_nanogpt", "gristmill_*.bin")
    need_held_out(job, made)
    step = job.batch * job.recipe.phases[0].seq_len
    steps = round(job.recipe.total_tokens / step)
    if steps < 2:  # its loader wants two training files at least
        raise RequestError(
            f"modded-nanogpt reads two files of a step at least, and {job.recipe.total_tokens} tokens are fewer than "
            f"two steps of {job.batch} sequences of {job.recipe.phases[0].seq_len}; lower --batch"
        )
    mixed, documents = stream(job, steps * step + MODDED_AHEAD)
    size = step * min(max(1, MODDED_TOKENS // step), -(-steps // 2))
    for number, part in enumerate(_chunks((tokens for _, tokens in documents), size, ahead=MODDED_AHEAD), 1):
        name = f"gristmill_train_{number:06d}.bin"
        write_modded(job.path(name), part, _vocabulary(job))
        made.files.append(name)
    write_modded(job.path("gristmill_val_000000.bin"), np.concatenate(list(_heldout(job))), _vocabulary(job))
    made.files.append("gristmill_val_000000.bin")
    made.notes.append(
        f"the files hold {steps} steps of {step} tokens for a loader that reads on (align_to_bos=False); one that "
        f"begins at documents skips what is longer than its max_seq_len, and stops where the files end"
    )
    return _finish(job, made, mixed)


def litdata(job: ExportJob) -> Export:
    made = _begin(job, "litdata")
    lengths = sorted({phase.seq_len for phase in job.recipe.phases})
    if len(lengths) > 1:
        raise RequestError(f"litdata reads blocks of one length, and the phases have {lengths}; export two recipes")
    seq_len = lengths[0]
    need_held_out(job, made, seq_len + 1)
    mixed, documents = stream(job, job.recipe.total_tokens // seq_len * (seq_len + 1))  # a block has one token more
    blocks = _chunks((tokens for _, tokens in documents), seq_len + 1, whole=True)
    kind = job.tokens(used_domains(job)[0]).facts.dtype
    write_litdata(job.path("train"), blocks, kind)
    write_litdata(job.path("val"), _chunks(_heldout(job), seq_len + 1, whole=True), kind)
    made.files += ["train/index.json", "val/index.json"]
    made.notes.append(f"read with TokensLoader(block_size={seq_len + 1}); do not shuffle if phases matter")
    return _finish(job, made, mixed)


def nanochat(job: ExportJob) -> Export:
    """Text in Parquet (column `text`), the last file for validation. Documents are drawn whole, as texts."""
    made = _begin(job, "nanochat", "*.parquet")
    need_held_out(job, made)
    mixed, documents = stream(job)
    for _ in documents:  # the same stream decides which documents, how often and in which order
        pass
    _finish(job, made, mixed)  # refused before anything is written
    number, chars, rows = 0, 0, []
    for text in _texts(job):
        rows.append(text)
        chars += len(text)
        if chars >= NANOCHAT_CHARS:
            made.files.append(_write_nanochat(job, number, rows))
            number, chars, rows = number + 1, 0, []
    if rows:
        made.files.append(_write_nanochat(job, number, rows))
        number += 1
    held = [row["text"] for name in used_domains(job) for row in job.texts(name, "heldout")]
    made.files.append(_write_nanochat(job, number, held))
    if len(held) < RANKS:
        made.notes.append(f"nanochat gives each rank texts of its own and {len(held)} are held out: use no more ranks")
    made.notes.append("nanochat crops documents when it packs: long-document domains lose the most tokens")
    return made


def _texts(job: ExportJob) -> Iterator[str]:
    """Texts in the order of the mixed stream; token shards and texts hold the same documents in the same order."""
    kept = {name: job.numbered_texts(name) for name in used_domains(job)}
    domains = {name: job.tokens(name) for name in kept}
    for name, domain in domains.items():
        if len(kept[name]) != domain.documents:
            raise WorkspaceError(
                f"{name} has {len(kept[name])} documents to train on and the tokens of {domain.documents}; run tokenize"
            )
    mixed = MixedStream(domains, job.seed)
    done = 0
    for phase in job.recipe.phases:
        upto = round(phase.until * job.recipe.total_tokens)
        for name, _ in mixed.take(phase.shares, upto - done):
            yield kept[name][mixed.last(name)]["text"]
        done = upto


def _write_nanochat(job: ExportJob, number: int, rows: list[str]) -> str:
    name = f"shard_{number:05d}.parquet"
    table = pa.table({"text": pa.array(rows, pa.string())})
    with replacing(job.path(name)) as scratch:
        pq.write_table(
            table,
            scratch,
            row_group_size=max(1, min(NANOCHAT_GROUP, len(rows) // RANKS)),  # ranks take groups in turn
            use_dictionary=False,
            compression="zstd",
            compression_level=3,
            write_statistics=False,
        )
    return name


def _begin(job: ExportJob, trainer: str, reads: str = "") -> Export:
    """reads: the files of the folder that the trainer would read, whoever wrote them."""
    if job.workspace is None:
        raise RequestError(f"{trainer} has no mixtures, so its data are written mixed: give --workspace")
    if reads:
        refuse_others(job, trainer, reads)
    return begin(job, trainer, "tokens")


def _vocabulary(job: ExportJob) -> int:
    return job.tokens(used_domains(job)[0]).facts.vocab_size


def _heldout(job: ExportJob) -> Iterator[np.ndarray]:
    for name in used_domains(job):
        held = job.tokens(name, "heldout")
        yield from (held.document(i) for i in range(held.documents))


def _chunks(documents: Iterator[np.ndarray], size: int, whole: bool = False, ahead: int = 0) -> Iterator[np.ndarray]:
    """Documents end to end, in pieces of `size` tokens; the last may be shorter, or is left out (`whole`).

    ahead  tokens that end a piece and begin the next one too; what is left in the end is no piece where it is no more
    """
    held: list[np.ndarray] = []
    length = 0
    for document in documents:
        held.append(document)
        length += len(document)
        if length >= size + ahead:
            flat, first = np.concatenate(held), 0
            while length - first >= size + ahead:
                yield flat[first : first + size + ahead]
                first += size
            held, length = [flat[first:]], length - first
    if length > ahead and not whole:
        yield np.concatenate(held)


def _finish(job: ExportJob, made: Export, mixed: MixedStream) -> Export:
    total = sum(mixed.drawn.values())
    requested = {name: share for name, share in job.recipe.run_shares().items() if share > 0}
    longest = max(int(np.diff(domain.offsets).max()) for domain in mixed.domains.values())
    made.add(requested, requested, {name: count / total for name, count in mixed.drawn.items()}, slack=longest / total)
    return made
