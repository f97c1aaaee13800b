"""Metrics of generated structures, each with its protocol."""
