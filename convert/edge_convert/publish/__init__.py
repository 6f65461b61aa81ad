"""Publishing: model files in a folder that any web server can serve, with signed metadata by The Update Framework."""
