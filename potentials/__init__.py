"""The ground floor: atom graphs, learned potentials, relaxation."""
