"""Recipes that make a bare .tflite flatbuffer of a full-size model, and what 8 bits do to each layer."""
