"""A map of all photos in the feature space of a trained network."""
