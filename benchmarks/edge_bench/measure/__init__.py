"""The measurement of models in worker processes."""
