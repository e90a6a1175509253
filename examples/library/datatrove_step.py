"""A rule set of gristmill as a filter of datatrove: `LocalPipelineExecutor([reader, Rules("fineweb"), writer])`.

python examples/library/datatrove_step.py
"""

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

import gristmill as gm


class Rules(PipelineStep):
    """Keeps the documents that a rule set keeps; the others are counted by the rule that they fail."""

    type = "🔻 - FILTER"
    name = "gristmill rules"

    def __init__(self, rules: str, batch: int = 1000) -> None:
        super().__init__()
        self.rules, self.batch = rules, batch

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        """Batches of documents, decided together."""
        held: list[Document] = []
        for document in data or ():
            held.append(document)
            if len(held) >= self.batch:
                yield from self._kept(held)
                held = []
        yield from self._kept(held)

    def _kept(self, held: list[Document]) -> DocumentsPipeline:
        fate = gm.decide({"text": [document.text for document in held]}, self.rules).to_pylist() if held else []
        for document, row in zip(held, fate, strict=True):
            self.stat_update("kept" if row["kept"] else f"dropped_{row['rule']}")
            if row["kept"]:
                yield document


if __name__ == "__main__":
    texts = [" ".join(str(Rules.__doc__ or "").split()), __doc__ or ""]  # both are too short, and say so in the counts
    documents = (Document(text=text, id=str(n)) for n, text in enumerate(texts))
    step = Rules("gopher")
    print([document.id for document in step.run(documents)], step.stats.to_dict())
