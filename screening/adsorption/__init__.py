"""Adsorption of gases in rigid frameworks: force fields, charges, Henry coefficients, uptake, process figures."""
