"""How a loss depends on the mixture: regressors, their ensemble, and how good a fit is."""
