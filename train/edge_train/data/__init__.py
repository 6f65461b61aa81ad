"""Photo sets: found, downloaded, rendered, audited and augmented."""
