"""Token streams in order: a domain cut into rows, and a whole phase of the recipe as one stream of documents.

The mixed stream is for trainers without mixtures. Whole documents are drawn so that after each of them every domain
has had its share of the tokens so far to within one document; a domain that ends begins again in another order (by a
hash of seed, epoch and place), so no document comes twice before all have come once.
"""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from ...training.data.shards import TokenDomain


def fixed_rows(domain: TokenDomain, length: int) -> Iterator[np.ndarray]:
    """Rows of exactly `length` tokens, documents end to end; the rest that fills no row is left out."""
    flat = domain.flat()
    for first in range(0, len(flat) - length + 1, length):
        yield flat[first : first + length]


def document_order(name: str, documents: int, seed: int, epoch: int) -> np.ndarray:
    """The order of a domain's documents in an epoch: a function of seed, name and epoch alone."""
    digest = hashlib.blake2b(f"{seed}:{name}:{epoch}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big"))).permutation(documents)


class MixedStream:
    """Documents of a recipe in training order.

    `drawn` counts tokens by domain as they are taken, over all phases; orders go on from phase to phase, so that a
    domain's next document is one that has come least often.
    """

    def __init__(self, domains: Mapping[str, TokenDomain], seed: int) -> None:
        self.domains, self.seed = dict(domains), seed
        self.place = dict.fromkeys(self.domains, 0)  # documents taken so far
        self.order: dict[str, tuple[int, np.ndarray]] = {}
        self.drawn = dict.fromkeys(self.domains, 0)

    def take(self, shares: Mapping[str, float], tokens: int) -> Iterator[tuple[str, np.ndarray]]:
        """(domain, document) until `tokens` tokens are out; the last document is cut to end exactly there."""
        names = sorted(name for name, share in shares.items() if share > 0)
        wanted = np.array([shares[name] for name in names])
        got = np.zeros(len(names))
        left = tokens
        while left > 0:
            chosen = int(np.argmax(wanted * (got.sum() + 1) - got))
            document = self._next(names[chosen])[:left]
            got[chosen] += len(document)
            left -= len(document)
            self.drawn[names[chosen]] += len(document)
            yield names[chosen], document

    def _next(self, name: str) -> np.ndarray:
        domain = self.domains[name]
        epoch, place = divmod(self.place[name], domain.documents)
        if self.order.get(name, (-1, None))[0] != epoch:
            self.order[name] = (epoch, document_order(name, domain.documents, self.seed, epoch))
        self.place[name] += 1
        return domain.document(int(self.order[name][1][place]))

    def last(self, name: str) -> int:
        """Which document of the domain came last."""
        return int(self.order[name][1][(self.place[name] - 1) % self.domains[name].documents])
