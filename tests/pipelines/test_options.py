"""What the commands share."""

import pytest
from pydantic import BaseModel, Field

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.commands.options import settings_of


class Named(BaseModel):
    model: str = ""
    batch_tokens: int = Field(1, ge=1)


def test_settings_may_have_a_field_called_model():
    assert settings_of(Named, model="1m").model == "1m"


def test_a_refused_value_names_its_option():
    with pytest.raises(RequestError, match=r"--batch-tokens: .* greater than or equal to 1"):
        settings_of(Named, batch_tokens=0)
