"""KonIQ-10k: web photographs with quality scores by crowd workers (Hosu et al., TIP 2020). Zero-shot in the paper.

Download: images and scores from the KonIQ-10k page of the MMSP group, Konstanz. Expected below data/raw/koniq:
    koniq10k_scores_and_distributions.csv       rating in MOS_zscore; its MOS is the raw mean 1-5, not used
    or koniq10k_distributions_sets.csv          of the authors' repository subpic/koniq; its MOS is the z-score
    1024x768/<image_name> or 512x384/<image_name>       the larger images are used if both are there
The z-score, 3.91 to 88.39 of 0-100, is the rating; both files give the same labels.
Terms: photographs from YFCC100M under Creative Commons licenses; the authors' repository is MIT. The owner's split
(7,058, 1,000 and 2,015) is not used: the paper tests on 2,014.
"""

from data_prep.downloads import Files, base, image_id
from data_prep.source import Items, Row
from data_prep.sources.spaq import standard_deviation
from data_prep.tables import decimal, read_together

IMAGE = ("image_name", "img_name", "image_id", "img_id", "image", "dis_img_path", "filename", "file_name", "name")
COLUMNS = {"image": IMAGE, "mos": ("MOS_zscore", "MOS_z", "zscore", "MOS", "img_mos", "score")}
SD = {"sd": ("SD",)}
# The slope of the z-scored MOS on the raw mean of the votes, by least squares over all 10,073 rows of
# koniq10k_distributions_sets.csv (correlation .995): SD is in units of the raw 1-5 mean.
SLOPE = 27.817
RAW_SD = 2.0  # no standard deviation of votes 1-5 is larger
FEW = 0.01  # our choice: so many may be mistyped; those rows then have no votes


def read(files: Files) -> Items:
    paths = files.label_files("koniq10k_scores_and_distributions.csv", "koniq10k_distributions_sets.csv", "*koniq*.csv")
    rows = [row for _, row in read_together(paths, COLUMNS, SD, files.notes)]
    if not any((standard_deviation(row["mos"]) or 0) > 5 for row in rows):
        raise ValueError(
            f"{paths[0]}: no rating above 5, so it is the raw mean 1-5, or centered at 0, and not MOS_zscore; use "
            "koniq10k_scores_and_distributions.csv or koniq10k_distributions_sets.csv unchanged from the owner"
        )
    deviations = [standard_deviation(row.get("sd", "")) for row in rows]
    known = [sd for sd in deviations if sd is not None]
    other = sum(sd > RAW_SD for sd in known) > FEW * len(known)  # another unit, which is not known
    if other:
        files.notes.append(f"standard deviations above {RAW_SD:g} are not of votes 1 to 5: no row has votes")
    for row, sd in zip(rows, deviations):
        sd = SLOPE * sd if not other and sd is not None and sd <= RAW_SD else None
        yield Row(image_id(row["image"]), (base(row["image"]),), decimal(row["mos"]), sd=sd)
