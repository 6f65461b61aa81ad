"""Routes that answer in JSON, all below /api/, and how they read and answer a request."""
