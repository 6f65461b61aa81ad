"""The training recipe: features of the frozen layers, the solved head, fine-tuning and quantization-aware training."""
