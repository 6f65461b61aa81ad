"""Which network for these photos, this board and this much time: `edge-train choose`."""
