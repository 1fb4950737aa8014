"""The scales of the page: the one that the model was trained on, the paper's, and levels that a user types."""

from storm import datasets
from storm.custom_scale import read
from storm.scales import Scale

TYPED = "My own levels"  # the last choice of a scale
MAX_RATES, MAX_LEVELS = 200, 3000  # letters typed: our choice


SCALES = {scale.title: scale for scale in datasets.BY_SCALE_NAME.values()}  # the choices of the page


def choices(trained: Scale | None) -> dict[str, Scale]:
    """The scales of the page by what they rate, the trained one first. One that is called as another gets its name."""
    others = {title: scale for title, scale in SCALES.items() if scale != trained}
    if trained is None:
        return others
    title = trained.title
    return {f"{title} ({trained.name})" if title in {*others, TYPED} else title: trained} | others


def typed_scale(rates: str, levels: str) -> Scale:
    """The scale that a user types, a word per line, lowest first. Raises ValueError in one line."""
    import yaml

    if len(rates) > MAX_RATES or len(levels) > MAX_LEVELS:
        raise ValueError(f"too long: at most {MAX_RATES} letters for what is rated and {MAX_LEVELS} for the levels")
    words = [word.strip() for word in levels.splitlines() if word.strip()]
    return read(yaml.safe_dump({"name": "own", "rates": rates.strip(), "levels": words})).scale
