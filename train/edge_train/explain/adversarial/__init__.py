"""Adversarial pictures of a trained network."""
