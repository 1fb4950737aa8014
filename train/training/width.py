"""The width of a target around the label, fitted to the votes of raters: `storm: {width: fit}`.

Of Laplace's distribution and the normal one, cut to the levels of the scale, the width under which the votes of the val
rows are likeliest. Both are exponential families in a power of the width, so there is one such width (Barndorff-Nielsen
1978, Information and Exponential Families).
"""

from collections.abc import Sequence

import numpy as np

from storm.rows import Example
from train.training.objectives import TARGETS

LEAST, MOST = 0.05, 50.0  # levels. Below, all is at the label; above, every level of 116 ages is as likely


def fit_width(target: str, rows: Sequence[Example]) -> float:
    """The width in levels. target: of SPREAD. Raises ValueError naming a row without votes and the fix."""
    from scipy.optimize import minimize_scalar

    votes: dict[tuple[int, int], np.ndarray] = {}  # (column of the label, levels) -> the sum of its rows' shares
    for row in rows:
        if not row.votes:
            fix = "write a number, storm.width=0.5, and choose it by val_error (docs/training.md)"
            raise ValueError(f"{row.file}: {row.id} has no votes, which storm.width=fit needs; {fix}")
        key = row.label - row.scale.lo, len(row.votes)
        votes[key] = votes.get(key, 0) + np.array(row.votes)

    def surprise(log_width: float) -> float:
        width, total = float(np.exp(log_width)), 0.0
        for (column, levels), shares in votes.items():
            target_shares = TARGETS[target](column, levels, width, ()).double().clamp(min=1e-30)
            total -= float(shares @ target_shares.log().numpy())
        return total

    bounds = np.log([LEAST, MOST])
    return float(np.exp(minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))
