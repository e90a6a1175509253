"""`decontaminate`, and the question whether a model has seen the examples."""

from typing import Any

from ...engine.invocation import Invocation
from .options import ExposureOptions
from .settings import ExposureSettings


def act(asked: Invocation) -> list[dict[str, Any]]:
    """Decontaminate, then audit a model where one is named."""
    done = [asked.run()]
    options: ExposureOptions = asked.options
    if options is not None and options.audit is not None:
        from .exposure import exposure

        settings = ExposureSettings(sets=asked.settings().sets, model=options.audit, tokenizer=options.tokenizer)
        done.append(asked.run_with(exposure, settings))
    return done
