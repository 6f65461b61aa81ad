"""What random views of a training photo do to it, beyond moving the camera and changing the light."""
