"""Which language a text is in: `identification` by the model of `model`, or by a fastText model at a path."""
