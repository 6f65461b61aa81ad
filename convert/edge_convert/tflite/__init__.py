"""Reading and rewriting of .tflite flatbuffers."""
