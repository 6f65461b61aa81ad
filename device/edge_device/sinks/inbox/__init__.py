"""Pictures that are kept on the board: frames that a model is unsure of, and what a person takes for training."""
