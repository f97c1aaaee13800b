"""Silica zeolites: nets to frameworks, their topology, a geometric relaxation, generation and decoration."""
