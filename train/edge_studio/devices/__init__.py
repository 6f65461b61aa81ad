"""Boards that run a project's model, and one on this machine for trying out: their state, their inbox, their next
model."""
