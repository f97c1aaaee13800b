"""The top floor: campaigns, evaluators, ranking, store, report."""
