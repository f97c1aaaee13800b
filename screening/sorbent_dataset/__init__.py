"""Training sets for the sorbent generator: assembled frameworks as beads, checked, labelled, deduplicated."""
