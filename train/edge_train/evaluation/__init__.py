"""How good a trained run is: metrics, plots and the report."""
