"""KonIQ-10k: web photographs with quality scores by crowd workers (Hosu et al., TIP 2020). Zero-shot in the paper.

Download: images and scores from the KonIQ-10k page of the MMSP group, Konstanz. Expected below data/raw/koniq:
    koniq10k_scores_and_distributions.csv       rating in MOS_zscore; its MOS is the raw mean 1-5, not used
    or koniq10k_distributions_sets.csv          of the authors' repository subpic/koniq; its MOS is the z-score
    1024x768/<image_name> or 512x384/<image_name>       the larger images are used if both are there
The z-score, 3.91 to 88.39 of 0-100, is the rating; both files give the same labels.
Terms: photographs from YFCC100M under Creative Commons licenses; the authors' repository is MIT. The owner's split
(7,058, 1,000 and 2,015) is not used: the paper tests on 2,014.
"""

from data_prep.downloads import Files, read_csv, stem
from data_prep.source import Items, Row


def read(files: Files) -> Items:
    path = files.label_file("koniq10k_scores_and_distributions.csv", "koniq10k_distributions_sets.csv", "koniq*.csv")
    rows = [row for _, row in read_csv(path, "image_name", "MOS")]
    column = "MOS_zscore" if any("MOS_zscore" in row for row in rows) else "MOS"
    if column == "MOS" and not any(_above_5(row["MOS"]) for row in rows):
        raise ValueError(
            f"{path}: 'MOS' has no value above 5, so it is the raw mean, and 'MOS_zscore' is missing; "
            "use koniq10k_scores_and_distributions.csv or koniq10k_distributions_sets.csv unchanged from the owner"
        )
    for row in rows:
        image = row["image_name"]
        yield Row(stem(image), images=(f"1024x768/{image}", f"512x384/{image}", image), score=row[column])


def _above_5(text: str) -> bool:
    try:
        return float(text) > 5
    except ValueError:
        return False
