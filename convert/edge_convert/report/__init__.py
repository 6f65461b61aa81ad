"""The pages, plots and console tables about a converted file."""
