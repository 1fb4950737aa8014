"""ChallengeDB (LIVE In the Wild): photographs with real distortions, rated 0-100 (Ghadiyaram & Bovik, TIP 2016).

Download: ChallengeDB_release, on request from the LIVE lab, UT Austin. Expected below data/raw/challengedb:
    Data/AllImages_release.mat      names          Data/AllMOS_release.mat     MOS 0-100, in the same order
    Data/AllStdDev_release.mat      standard deviations of the MOS, optional; they give votes
    Images/3.bmp ... 1164.JPG       1,162 photographs, .bmp or upper-case .JPG
    Images/trainingImages/t1.bmp ... t7.bmp        practice images of the study; the paper counts them, too
Terms: any purpose; keep the copyright notice and cite the papers. No owner's split. The .mat files may be of
version 5 or 7.3. Instead of them, a table is enough: meta_info_LIVEChallengeDataset.csv or another *challenge*.csv with
columns img_name, mos and, if you have it, std.
"""

from data_prep.downloads import Files, base, image_id
from data_prep.matlab import read_mat
from data_prep.source import Items, Row
from data_prep.sources.spaq import standard_deviation
from data_prep.tables import decimal, read_together

COLUMNS = {"image": ("img_name", "image", "image_name", "file_name", "filename", "name"), "mos": ("MOS", "score")}
SD = {"sd": ("std", "MOS_std", "SD", "StdDev")}
MATS = ("AllImages_release", "AllMOS_release")
DEVIATIONS = "AllStdDev_release"  # optional


def read(files: Files) -> Items:
    paths = files.label_files("AllImages_release.mat", "*challenge*.csv", "*live*c*.csv", "*live*wild*.csv")
    if paths[0].suffix.lower() != ".mat":
        for _, row in read_together(paths, COLUMNS, SD, files.notes):
            sd = standard_deviation(row.get("sd", ""))
            yield Row(image_id(row["image"]), (base(row["image"]),), decimal(row["mos"]), sd=sd)
        return
    wanted = [*MATS, *([DEVIATIONS] if files.all(f"{DEVIATIONS}.mat") else [])]
    names, scores, *deviations = (read_mat(files.label_file(f"{name}.mat"), name)[0] for name in wanted)
    for column in (scores, *deviations):
        if len(names) != len(column):
            what = f"{len(names)} names but {len(column)} ratings or deviations"
            raise ValueError(f"{files.root}: {what}; take the .mat files of one release")
    for image, score, sd in zip(names, scores, deviations[0] if deviations else [None] * len(names)):
        yield Row(image_id(str(image).strip()), (base(str(image)),), score, sd=sd)
