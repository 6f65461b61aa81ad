"""The softmax layer on frozen features: solved, and its learning curve."""
