"""The same file in a browser: a site that installs as an app, or one HTML file, and the server that shows it.

`js/` holds the engine (pixels, container, scores, decisions, self-test), `page/` what a person sees of it.
"""
