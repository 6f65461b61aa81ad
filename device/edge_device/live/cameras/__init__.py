"""What of a live run each camera has for itself, and how several share one process."""
