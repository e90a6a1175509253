"""The mixture laboratory: from proxies trained on many mixtures to one recipe that every trainer reads correctly.

recipe      the artefact that leaves the tool: `Recipe`, `load_recipe`, `save_recipe`, `make_recipe`
swarm       measured mixtures, read from tables or CSV files: `Swarm`, `read_swarm`
designs     which mixtures to try; simplex: the limits they keep; baselines: mixtures that need no proxies
regressors  one target's loss as a function of the mixture; ensemble: stacked by cross-validation, with intervals
optimise    the best mixture under limits, with its interval, its gain and its sensitivity; convex: the exact programme
two_phase    another mixture for the end of the run, from branches off a trunk; laws: see its own page
online      shares that move while a model trains: ADO for a run, DoReMi and ADO on proxies
verdict     choose mixtures from a measured swarm and say what validation showed; proxies: train and measure them
exporters   the recipe in each trainer's own form and unit
standalone  all of it on CSV files, without a workspace
"""
