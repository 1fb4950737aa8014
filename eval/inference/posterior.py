"""From the probability of every level to the best prediction for each metric, and how calibrated the model is.

Probabilities are arrays of shape (n, K), a row an image, a column a level in order, each row summing to 1. Labels are
column numbers, 0 .. K-1.
"""

import numpy as np

BINS = 15  # of confidence, equally wide (Guo et al. 2017, On Calibration of Modern Neural Networks)


def normalize(logp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of answers, (n, K), to (probabilities, log of the mass of all answers together, (n,))."""
    from scipy.special import logsumexp

    mass = logsumexp(logp, axis=1)
    return np.exp(logp - mass[:, None]), mass


def mode(probs: np.ndarray) -> np.ndarray:
    """The likeliest column, the lowest one of several: best for accuracy."""
    return probs.argmax(1)


def median(probs: np.ndarray) -> np.ndarray:
    """The first column at which half of the probability is reached: best for the mean absolute error."""
    return (probs.cumsum(1) >= 0.5 - 1e-12).argmax(1)


def mean(probs: np.ndarray) -> np.ndarray:
    """The expected column, a fraction: best for correlations and the squared error."""
    return probs @ np.arange(probs.shape[1])


def entropy(probs: np.ndarray) -> np.ndarray:
    """In nats: 0 for certainty, log K for no idea."""
    return 0.0 - (probs * np.log(np.where(probs > 0, probs, 1))).sum(1)  # certainty is 0, and not -0


def temper(probs: np.ndarray, temperature: float) -> np.ndarray:
    """Flattened (temperature above 1) or sharpened, and normalized again. The mode stays."""
    return normalize(np.log(np.maximum(probs, 1e-12)) / temperature)[0]


def fit_temperature(probs: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, 0.05 .. 20, under which the labels are likeliest. Fit it on rows not in the test set."""
    from scipy.optimize import minimize_scalar

    def surprise(log_temperature: float) -> float:
        tempered = temper(probs, float(np.exp(log_temperature)))
        return -float(np.log(np.maximum(tempered[np.arange(len(labels)), labels], 1e-12)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=np.log([0.05, 20]), method="bounded").x))


def bins_of(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, 0 .. BINS - 1."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def reliability(probs: np.ndarray, labels: np.ndarray) -> list[dict]:
    """For each bin of confidence in the mode that has rows: n, mean confidence and accuracy."""
    confidence, correct = probs.max(1), mode(probs) == labels
    bins = bins_of(confidence)
    return [
        {"n": int(rows.sum()), "confidence": float(confidence[rows].mean()), "accuracy": float(correct[rows].mean())}
        for rows in (bins == number for number in range(BINS))
        if rows.any()
    ]


def diagram(bins: list[dict], width: int = 50) -> str:
    """reliability() as text: a bar of # is the accuracy, | the confidence that it should reach."""
    lines = []
    for bin in bins:
        bar = "#" * round(bin["accuracy"] * width)
        place = min(width - 1, round(bin["confidence"] * width))
        bar = bar.ljust(width)[:place] + "|" + bar.ljust(width)[place + 1 :]
        lines.append(f"  confidence {bin['confidence']:.2f}, accuracy {bin['accuracy']:.2f}  {bar}  n {bin['n']:,}")
    return "\n".join(lines)
