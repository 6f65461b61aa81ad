"""Network architectures and the pretrained weights that training starts from."""
