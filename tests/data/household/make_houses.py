"""Writes one small generated house of each kind of task, as `house-N.tw-pddl`.

Their transcripts (`transcripts.json.gz`), and those of the workshop, are the reference engine's:

    python -m ludus.envs.worlds.household.parity tests/data/household --episodes 3 --steps 30 \
        --record tests/data/household/transcripts.json.gz
"""

import json
import random
from pathlib import Path

from ludus.envs.worlds.household.houses import TASKS, draw

if __name__ == "__main__":
    for number, kind in enumerate(TASKS):
        params = {"kind": kind, "receptacles": 8, "objects": 6, "distractors": 2}
        house = draw(random.Random(number), "train", params)
        path = Path(__file__).with_name(f"house-{number}.tw-pddl")
        path.write_text(json.dumps(house.to_game(), indent=1) + "\n", encoding="utf-8")
        print(path)
