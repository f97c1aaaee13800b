"""What is already known: formulas of published frameworks."""
