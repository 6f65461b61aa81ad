"""The studio: from pictures to a running camera in a browser, by the functions of the four commands."""

from edge_studio.project import Project
from edge_studio.studio import Studio, StudioSettings

__all__ = ["Project", "Studio", "StudioSettings"]
