"""What a complete .tflite file consists of: container, metadata, model card, golden vectors and seal."""
