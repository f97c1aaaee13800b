"""Our own Monte Carlo for rigid hosts: energy grids by Fourier splitting, Widom insertion and GCMC in batches."""
