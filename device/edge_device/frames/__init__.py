"""Regions of a frame, motion between frames, and what is drawn on a frame."""
