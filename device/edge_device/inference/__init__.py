"""From preprocessed pixels to scores: interpreters, the classifier, accelerators and the replay of golden vectors."""
