"""Generic diffusion maths: noise processes, schedules, samplers. Nothing here knows of crystals."""
