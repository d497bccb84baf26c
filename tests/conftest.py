"""The scripts are single files at the top of the repository: make them importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
