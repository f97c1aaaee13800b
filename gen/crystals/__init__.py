"""The crystal generator: lattice, coordinates and species diffused together."""
