"""Run the whole suite, two files at a time with one thread each, and end in one line of counts.

    python tests/run.py [FILE ...]    # files of tests/; none: all of them

Two at a time, as the nets of the tests are too small to share between cores. What a file prints
comes when it has ended; the longest files begin first. Exit code 1 if a test failed.
"""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).parent


def run(file: Path) -> tuple[int, str]:
    """pytest's exit code for one file, and what it printed."""
    command = [sys.executable, "-m", "pytest", str(file.relative_to(HERE.parent))]
    done = subprocess.run(
        command, cwd=HERE.parent, env=os.environ | {"OMP_NUM_THREADS": "1"}, encoding="utf-8",
        errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


def counts(output: str) -> dict[str, int]:
    """How many tests passed, failed, ..., as the last line of pytest's output says."""
    last = (output.strip().splitlines() or [""])[-1]
    return {what.rstrip("s"): int(n) for n, what in re.findall(r"(\d+) ([a-z]+)", last)}


def main(names: list[str]) -> int:
    """Run the files; 1 if a test or a file failed, else 0."""
    begun = time.perf_counter()
    files = [Path(name).resolve() for name in names] or sorted(HERE.glob("test_*.py"))
    files.sort(key=lambda file: -file.stat().st_size)  # long files take long, more or less
    total = {"passed": 0, "failed": 0, "skipped": 0, "error": 0}
    broken = []
    with ThreadPoolExecutor(2) as pool:
        jobs = {pool.submit(run, file): file for file in files}
        for job in as_completed(jobs):
            code, output = job.result()
            print(f"== {jobs[job].name}\n{output.strip()}", flush=True)
            found = counts(output)
            for what in total:
                total[what] += found.get(what, 0)
            if code:
                broken.append(jobs[job].name)
    failed = total["failed"] + total["error"]
    minutes, seconds = divmod(round(time.perf_counter() - begun), 60)
    print(f"== {len(files)} files in {minutes} min {seconds} s"
          + (f"; not passed: {', '.join(broken)}" if broken else ""))  # fmt: skip
    print(f"{total['passed']} passed, {failed} failed, {total['skipped']} skipped")
    return 1 if broken or not total["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
