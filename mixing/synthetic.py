"""Real and rewritten tokens in one recipe, at a chosen ratio.

A domain and its rewritten ones (`<domain>.<style>`) keep the share they have together; within it there are `ratio`
synthetic tokens for each real one. Refuses a recipe without any rewritten domain.
"""

from collections.abc import Sequence

from ..corpus.store.errors import RequestError
from ..proxy_models.rewriting.rephrase import mix_synthetic
from .recipe import Recipe, RecipePhase, make_recipe


def with_synthetic(recipe: Recipe, styles: Sequence[str], ratio: float = 1.0) -> Recipe:
    """The recipe with the shares of every phase set so. One real token to one synthetic token by default."""
    names = set(recipe.domains)
    if not any(f"{domain}.{style}" in names for domain in names for style in styles):
        raise RequestError(
            f"the recipe has no rewritten domain (DOMAIN.STYLE with a style of {', '.join(styles)}); "
            f"there are: {', '.join(sorted(names))}"
        )
    phases: list[RecipePhase] = []
    for phase in recipe.phases:
        shares = {name: phase.shares.get(name, 0.0) for name in recipe.domains}
        phases.append(phase.model_copy(update={"shares": mix_synthetic(shares, styles, ratio)}))
    kept = {"name": recipe.name, "tokenizer": recipe.tokenizer, "shards": recipe.shards, "evidence": recipe.evidence}
    return make_recipe(total_tokens=recipe.total_tokens, domains=recipe.domains, phases=phases, **kept)
