"""The photos of a project: found, taken in, shown small, moved, and moved back."""
