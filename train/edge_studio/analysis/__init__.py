"""What takes seconds or TensorFlow, in a process of its own: the audit of photos, suspects, heatmaps."""
