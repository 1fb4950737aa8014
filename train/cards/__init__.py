"""The model card and the data card that train/card.py writes: what is read, what it says, what it must not say."""
