"""What training and conversion share of Keras: setup, batch-norm folding and scoring."""
