"""`rewrite`: rewriting, adopting what came of it, or setting a ratio of synthetic tokens in a recipe."""

from typing import Any

from ....corpus.store.errors import RequestError
from ...engine.invocation import Invocation
from .options import RewriteOptions

ALL = ("easy", "hard", "medium", "qa")


def act(asked: Invocation) -> list[dict[str, Any]]:
    """Change a recipe, or rewrite and then adopt where that was asked for."""
    options: RewriteOptions = asked.options
    if options.recipe is not None:
        return [_ratio(options, tuple(asked.given.get("styles") or ALL))]
    from .stage import adopt, run_rewrite

    done = [asked.run_with(run_rewrite, asked.settings(), retry=options.retry)]
    if options.adopt:
        done.append(adopt(asked.workspace, asked.runner, options.language_model, asked.quiet))
    return done


def _ratio(options: RewriteOptions, styles: tuple[str, ...]) -> dict[str, Any]:
    """Set the ratio of synthetic to real tokens in a recipe."""
    from ....mixing.recipe import load_recipe, save_recipe
    from ....mixing.synthetic import with_synthetic

    assert options.recipe is not None
    if options.ratio < 0:
        raise RequestError(f"--ratio {options.ratio:g}: synthetic tokens for each real one cannot be negative")
    mixed = with_synthetic(load_recipe(options.recipe), styles, options.ratio)
    save_recipe(mixed, options.recipe)
    return {"stage": "rewrite", "recipe": options.recipe, "shares": mixed.run_shares()}
