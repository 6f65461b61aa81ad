"""The time that each operator of a model takes."""
