"""What a trained network looks at: features, heatmaps, ideal pictures, adversarial pictures, embeddings.

Everything here takes pixels as `edge_core.preprocess` makes them, and is about the full-size model of a run; what needs
no gradients is about a .tflite, too.
"""
