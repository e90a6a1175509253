"""The token pool of a fleet: every domain's training tokens end to end, and the held-out sets to be measured on.

Tokens of one domain are one array (documents one after another, as their shards hold them), so that a training row is
a slice: row r of a domain is tokens [r * seq_len, r * seq_len + seq_len], the last of which is only a target. Held-out
sets are whole documents with the UTF-8 bytes of their text, because losses are compared as bits per byte. Metadata
prefixes are left out of both: proxies read plain documents.

Refuses tokens outside the vocabulary, a domain without a training row, and a held-out set without bytes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...corpus.store.errors import RequestError, WorkspaceError, unknown_name
from ...corpus.store.workspace import Workspace
from ...training.data.shards import domains, open_tokens

HELDOUT_TOKENS = 16_384  # of each domain: 17 domains measured ten times cost under 3 % of 100M training tokens


@dataclass(frozen=True)
class DomainPool:
    """Training tokens of one domain.

    tokens   (N,) uint16 or uint32
    offsets  (documents + 1,) int64: document i is tokens[offsets[i] : offsets[i + 1]]
    """

    name: str
    tokens: np.ndarray
    offsets: np.ndarray

    def rows(self, seq_len: int) -> int:
        """Training rows of seq_len inputs and seq_len targets; neighbours share one token."""
        return max(0, (len(self.tokens) - 1) // seq_len)


@dataclass(frozen=True)
class HeldOutTokens:
    """What losses are measured on: whole documents, and the bytes of text that their tokens stand for.

    tokens   (N,) uint16 or uint32
    offsets  (documents + 1,) int64 where each document begins; None: at every start token
    heads    (documents,) int64 tokens at the beginning of each document that are read and not measured (the start
             token, the question before an answer), >= 1; None: the start token alone, documents read as one stream
    """

    name: str
    tokens: np.ndarray
    n_bytes: int
    offsets: np.ndarray | None = None
    heads: np.ndarray | None = None


@dataclass(frozen=True)
class TokenPool:
    """Domains in the order of their names, held-out sets (targets) in the order given.

    start  the token that documents begin with. Held-out sets are read after it, and predicting it is not measured:
           it says where a document ends, not what stands in it.
    end    the token of its own that documents end with, None where there is none; predicting it is not measured either
    """

    domains: tuple[DomainPool, ...]
    heldout: tuple[HeldOutTokens, ...]
    vocab_size: int
    start: int = 0
    end: int | None = None

    def __post_init__(self) -> None:
        names = [domain.name for domain in self.domains]
        if names != sorted(set(names)):
            raise ValueError(f"domains must be sorted by name, each once: {names}")
        for part in (*self.domains, *self.heldout):
            highest = int(part.tokens.max()) if len(part.tokens) else -1
            if highest >= self.vocab_size:
                raise RequestError(f"{part.name} holds token {highest}, the vocabulary has {self.vocab_size}")
        for target in self.heldout:
            if not len(target.tokens) or target.n_bytes <= 0:
                raise RequestError(
                    f"the held-out set of {target.name} is empty: nothing can be measured on it; "
                    f"raise the held-out share, or leave {target.name} out of the targets"
                )

    @property
    def names(self) -> list[str]:
        return [domain.name for domain in self.domains]

    @property
    def targets(self) -> list[str]:
        return [target.name for target in self.heldout]

    @property
    def tokens(self) -> np.ndarray:
        """(D,) int64: training tokens available in each domain."""
        return np.array([len(domain.tokens) for domain in self.domains], np.int64)

    @property
    def natural(self) -> np.ndarray:
        """(D,) float64: shares of the tokens as they lie there."""
        return self.tokens / self.tokens.sum()

    @property
    def fingerprint(self) -> str:
        """32 hex digits: changes with any token of the pool."""
        digest = hashlib.blake2b(f"{self.vocab_size} {self.start} {self.end}".encode(), digest_size=16)
        for part in (*self.domains, *self.heldout):
            digest.update(f"{part.name} {len(part.tokens)} {getattr(part, 'n_bytes', '')}".encode())
            digest.update(np.ascontiguousarray(part.tokens).tobytes())
            if getattr(part, "heads", None) is not None:
                digest.update(np.ascontiguousarray(part.heads).tobytes())  # type: ignore[union-attr]
        return digest.hexdigest()

    @classmethod
    def from_workspace(
        cls,
        workspace: Workspace,
        names: Sequence[str] | None = None,
        heldout_tokens: int = HELDOUT_TOKENS,
        required: Sequence[str] | None = None,
    ) -> "TokenPool":
        """The finished token tables of a workspace. Every domain is a target too.

        names           domains to take; None: all
        heldout_tokens  held-out documents of each domain are taken, in the order of their shards, until they hold this
        required        domains that must have held-out text; one without it is no target otherwise. None: all
        """
        present = domains(workspace)
        if not present:
            raise WorkspaceError(
                f"proxy models need tokens/, which is not there in {workspace.url}; "
                f"run: gristmill tokenize --workspace {workspace.url}"
            )
        for name in names or ():
            if name not in present:
                raise unknown_name("domain", name, present)
        train = [open_tokens(workspace, name, "train") for name in sorted(names or present)]
        if len({domain.facts.tokenizer for domain in train}) > 1:
            raise WorkspaceError("tokens/ of these domains were made with different tokenizers; run tokenize --force")
        facts = train[0].facts
        required = present if required is None else required
        targets = []
        for name in sorted(names or present):
            held = open_tokens(workspace, name, "heldout")
            documents = min(held.documents, int(np.searchsorted(held.offsets, heldout_tokens)))
            tokens, offsets = held.plain(documents)
            if name not in required and not int(held.n_bytes[:documents].sum()):
                continue
            targets.append(HeldOutTokens(name, np.array(tokens), int(held.n_bytes[:documents].sum()), offsets))
        pools = tuple(DomainPool(domain.name, *domain.plain()) for domain in train)
        return cls(pools, tuple(targets), facts.vocab_size, facts.bos, facts.eos)

    def text_tokens(self, target: HeldOutTokens) -> int:
        """Tokens of a held-out set whose loss is measured: neither what starts a document nor what ends it."""
        if target.heads is not None:
            return len(target.tokens) - int(target.heads.sum())
        silent = target.tokens == self.start
        if self.end is not None:
            silent |= target.tokens == self.end
        return int((~silent).sum())

    def measured_on(self, *targets: HeldOutTokens) -> "TokenPool":
        """The same pool with other held-out sets, for example a task that is no domain of the mixture."""
        return replace(self, heldout=targets)

    @classmethod
    def from_documents(
        cls,
        train: Mapping[str, Sequence[np.ndarray]],
        heldout: Mapping[str, tuple[Sequence[np.ndarray], int]],
        vocab_size: int,
        start: int = 0,
        end: int | None = None,
    ) -> "TokenPool":
        """From documents in memory: name -> token arrays, and name -> (token arrays, bytes of their text)."""
        kind = np.uint16 if vocab_size <= 1 << 16 else np.uint32
        domains = []
        for name in sorted(train):
            offsets = np.zeros(len(train[name]) + 1, np.int64)
            np.cumsum([len(document) for document in train[name]], out=offsets[1:])
            domains.append(DomainPool(name, _joined(train[name], kind), offsets))
        targets = []
        for name, (documents, n_bytes) in heldout.items():
            offsets = np.zeros(len(documents) + 1, np.int64)
            np.cumsum([len(document) for document in documents], out=offsets[1:])
            targets.append(HeldOutTokens(name, _joined(documents, kind), n_bytes, offsets))
        return cls(tuple(domains), tuple(targets), vocab_size, start, end)


def _joined(documents: Sequence[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *(np.asarray(document, kind) for document in documents)])
