"""An exported file tried on pictures from a browser, by the code that runs on a board."""
