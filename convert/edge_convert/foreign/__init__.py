"""What tells the known from the foreign: fitted on an artifact's own features, and measured."""
