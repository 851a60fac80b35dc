"""``python -m tests.plugins DIRECTORY [CALL ...]``: print calls that were played into a directory."""

from __future__ import annotations

import sys
from pathlib import Path

from .acceptance import faults_of
from .calls import BY_NAME
from .outcome import outcomes, shown

directory = Path(sys.argv[1])
wanted = sys.argv[2:]
present = [path.stem for path in sorted(directory.glob("*.json"))]
for name, outcome in outcomes(directory, wanted or present).items():
    if wanted:
        print(shown(outcome))
    for fault in faults_of(outcome, BY_NAME[name].setup) or ["good"]:
        print(f"{name}: {fault}")
