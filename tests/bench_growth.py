"""How time grows with the images: gan_replay.py and dgm.py on 1, 2, 5 and 10 times as many.

    python tests/bench_growth.py --out reference/growth.json

Glyphs, one thread, two tasks of five classes, one epoch of everything; gan_replay replays half as
many images as there are. Seconds of drawing and training, without loading and evaluation, medians;
tools/speed.py fits the exponents and draws them beside those of tasks and inner steps.
"""

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))
import common  # noqa: E402
import dgm  # noqa: E402
import gan_replay  # noqa: E402

LEAST = {"gan_replay": 2000, "dgm": 1000}  # images; the times are then alike


def flags(script: str, images: int) -> list[str]:
    """Of one run; nothing in it depends on the images but their number."""
    both = ["--dataset", "glyphs", "--train-size", str(images), "--test-size", "100", "--device",
            "cpu", "--classes-per-task", "5", "--checkpoint-every", "1e9"]  # fmt: skip
    if script == "gan_replay":
        return [*both, "--n-gen", str(images // 2), "--solver-epochs", "1", "--gan-epochs", "1"]
    return [*both, "--preset", "laptop", "--classifier-steps", "0", "--augment", "0",
            "--epochs", "1"]  # fmt: skip


def seconds(script: str, images: int, folder: str) -> float:
    """Seconds that one run draws and trains."""
    module = {"gan_replay": gan_replay, "dgm": dgm}[script]
    args = module.parse_args([*flags(script, images), "--out", f"{folder}/run.json"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run = module.run(args)
    return sum(v for task in run["timing"]["tasks"] for k, v in task.items()
               if k.endswith("_s") and k not in ("evaluation_s", "measuring_s"))  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Small to large, again and again, so that a busy moment hits all sizes alike."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="growth.json")
    parser.add_argument("--factors", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--least", type=int, default=0, help="images; 0: as many as in LEAST")
    args = parser.parse_args(argv)
    common.check_writable(args.out)
    torch.set_num_threads(1)
    gan_replay.POINTS = 1
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for script, least in LEAST.items():
            least = args.least or least
            seconds(script, least, folder)  # warms up
            sizes = [factor * least for factor in args.factors]
            rounds = tqdm(range(args.times), desc=script, disable=None, leave=False)
            taken = [[seconds(script, n, folder) for n in sizes] for _ in rounds]
            rows += [{"script": script, "images": n, "seconds": statistics.median(some)}
                     for n, some in zip(sizes, zip(*taken))]  # fmt: skip
    environment = common.environment(torch.device("cpu"))
    common.write_result(args.out, {"rows": rows, "environment": environment})
    for row in rows:
        print(f"{row['script']}: {row['images']} images in {row['seconds']:.2f} s")


if __name__ == "__main__":
    common.exit_in_one_line(main)
