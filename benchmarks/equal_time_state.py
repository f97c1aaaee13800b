"""What `benchmarks/equal_time_worker.py` keeps: the state of a killed training, and the weights of a finished one."""

import torch


def state_path(options):
    """Where a run keeps what a killed one resumes from."""
    return options.folder / f"{options.label or options.kind}.state"


def identity(options):
    """What must be the same for a state to be continued."""
    neutral = ("folder", "tests", "every", "turns", "turned_frames", "fresh", "stop")
    return {key: value for key, value in vars(options).items() if key not in neutral}


def write_state(options, **state):
    """Put it in place whole or not at all."""
    path = state_path(options)
    scratch = path.with_suffix(".part")
    torch.save({"identity": identity(options), **state}, scratch)
    scratch.replace(path)


def read_state(options):
    """The state of a killed run with the same options, if there is one."""
    path = state_path(options)
    if options.fresh or not path.exists():
        return None
    state = torch.load(path, weights_only=True)
    return state if state["identity"] == identity(options) else None


def keep_weights(model, answer, options):
    """The best weights, for `--start`."""
    weights = {key: value for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    kept = {"minutes": answer["minutes"], "weights": weights, "identity": identity(options)}
    torch.save(kept, kept_path(options, answer["label"]))


def finished(options):
    """Whether a training of the same options has come to its end, tests and all."""
    path = kept_path(options, options.label or options.kind)
    if options.fresh or not path.exists():
        return False
    return torch.load(path, weights_only=True)["identity"] == identity(options)


def kept_path(options, label):
    """Where a training of this label leaves its weights."""
    return options.folder / f"{label}.kept"


def begin_with(model, options):
    """Weights that an earlier training kept, in a model of the same shape; returns the minutes they took."""
    kept = torch.load(kept_path(options, options.start), weights_only=True)
    model.load_state_dict(kept["weights"])
    return kept["minutes"]
