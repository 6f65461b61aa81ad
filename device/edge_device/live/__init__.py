"""The loop of `edge-run live`: capture, inference, decisions and the exchange of the model file."""
