"""Photos made harder: common corruptions."""
