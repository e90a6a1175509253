"""Documents changed or labelled by models: refining (ProX), rephrasing (WRAP), tagging, clusters."""
