"""The comparison of a converted file with the full-size model, and the limits it is held to."""
