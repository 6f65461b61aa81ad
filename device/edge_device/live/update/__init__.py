"""Model updates that cannot leave a board without a model: fetched, proven, tried beside the old one, and taken back if
bad."""
