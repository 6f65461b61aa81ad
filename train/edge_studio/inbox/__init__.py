"""Frames that boards were unsure of: fetched, grouped by likeness, labeled many at once, and put among the photos."""
