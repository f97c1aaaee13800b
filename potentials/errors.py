"""The errors a user may see. Every one is a single sentence: the value, the limit, the cure."""


class SorbusError(Exception):
    """Something Sorbus can name and the user can cure; the command line prints it and exits with 2."""


class InputError(SorbusError):
    """A file, field or argument from the user cannot be used as it stands."""


class GeometryError(InputError):
    """A structure that no neighbour list may see: non-finite, flat, crowded or oversized."""
