"""Recipe -> model: the checks before a training (preflight.py) and whole tables of trainings (sweep.py)."""
