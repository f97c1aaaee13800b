"""Measured isotherms: reading them, putting them beside computed ones, what the difference says of a model."""
