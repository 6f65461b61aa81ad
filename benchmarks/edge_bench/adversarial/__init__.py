"""Models measured on adversarial pictures."""
