"""The middle floor: generative models of crystals and sorbents."""
