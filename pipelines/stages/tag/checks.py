"""What of `tag` can be refused before anything runs."""

from ...engine.invocation import Checking


def check(asked: Checking) -> None:
    """Taxonomies, models, rules and an engine that are not there."""
    from ....filters.rule_sets import load_rules
    from ....proxy_models.rewriting.taxonomy import load_taxonomies

    settings = asked.settings
    load_taxonomies(settings.taxonomies, settings.taxonomies_file)
    if settings.rules is not None:
        load_rules(settings.rules)
    for name, model in settings.models.items():
        asked.file(f"models.{name}", model)
    if settings.engine is not None:
        from ....proxy_models.engines.open import engine_settings

        engine_settings(settings.engine)
