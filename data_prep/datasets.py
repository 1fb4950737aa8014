"""The 14 source datasets in the order of Table 1. A 15th: a module like these, named here, its scale in scales.py."""

from data_prep.sources import adience, aesthetics, aptos, ava, cacd, challengedb, deepdr, eyepacs, hci, koniq, morph, spaq, tad66k, utk

MODULES = (
    spaq,
    challengedb,
    koniq,
    aesthetics,
    tad66k,
    ava,
    adience,
    cacd,
    morph,
    utk,
    eyepacs,
    deepdr,
    aptos,
    hci,
)
DATASETS = tuple(module.DATASET for module in MODULES)
