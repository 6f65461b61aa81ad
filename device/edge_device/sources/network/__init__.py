"""Cameras that send their pictures over a network."""
