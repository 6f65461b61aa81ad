"""Folders of labeled photos and how they are split into training, validation and test photos."""
