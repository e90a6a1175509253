"""The recipe in each trainer's own form: `export_recipe(recipe, to, output, …)`; `EXPORTERS` lists the trainers.

Trainers disagree on what a weight is. Each exporter names its unit, converts the recipe's token shares into it, drops
zero weights, and reports the share that its trainer will realise beside the one requested; what a trainer cannot do
(loss weights, metadata masks, shares below its resolution) is refused with the reason, never rounded away.
"""
