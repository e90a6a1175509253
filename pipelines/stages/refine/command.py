"""`refine`, its preview, and the training of a line model."""

import sys
from typing import Any

from ...engine.invocation import Invocation
from .options import RefineOptions


def act(asked: Invocation) -> list[dict[str, Any]]:
    """Train a line model, show what would change, or refine."""
    options: RefineOptions = asked.options
    if options is None or not (options.learn or options.dry_run):
        return [asked.run()]
    if options.learn is not None:
        from ....proxy_models.rewriting.refine_model import save_line_model
        from .stage import learn

        save_line_model(learn(asked.workspace), options.learn)
        written = f"refine: wrote {options.learn}; use it with --by model --line-model {options.learn}"
        sys.stdout.write(written + "\n")
        return []
    from .stage import preview

    for id, shown in preview(asked.workspace, asked.settings(), options.dry_run):
        sys.stdout.write(f"document {id}\n{shown}\n\n")
    return []
