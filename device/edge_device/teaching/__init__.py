"""A model is taught another label on the board: features of a few frames, a last layer solved anew, a new complete
file."""
