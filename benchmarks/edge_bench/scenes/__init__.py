"""Composed scenes: what a file makes of a subject that is small in a camera's frame, before anybody has hung one up."""
