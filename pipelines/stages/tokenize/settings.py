"""What `tokenize` is asked for: plain data that imports nothing heavy."""

from typing import Literal

from pydantic import BaseModel, Field

from ....corpus.settings import Folder


class TokenizeSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How to make the tokenizer and the shards."""

    tokenizer: Folder | None = Field(
        default=None,
        description="a tokenizer.json, the folder of a model, or OWNER/NAME on the Hugging Face Hub; default: trained",
    )
    vocab_size: int = Field(default=4096, ge=258, description="entries of the tokenizer that is trained")
    sample_bytes: int = Field(default=1_000_000, ge=1, description="bytes of text per domain that it is trained on")
    heldout: float = Field(default=0.05, ge=0.0, lt=1.0, description="share of documents held out, drawn by id hash")
    metadata: Literal["none", "host", "url", "source", "domain"] = Field(
        default="none", description="prefix for conditioning: none, host, url, source or domain"
    )
    bos: str | None = Field(
        default=None, description="name of the token that starts a document, where it is not the customary one"
    )
    eos: str | None = Field(
        default=None, description="name of the token that ends a document, where it is not the customary one"
    )
