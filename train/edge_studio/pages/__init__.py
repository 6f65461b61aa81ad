"""Pages, rendered from the templates; what they show beyond their first sight comes from the API."""
