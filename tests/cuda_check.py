"""Does every script do on a GPU what it does on the CPU? `make cuda`, on a machine that has one.

First tiny runs, as processes that a user would start: accuracies agree with the CPU's, a killed
run goes on to the same numbers, a checkpoint of the other device is refused, every flag of the
tests and of the papers' rows runs. Then milliseconds of a step at the papers' sizes. Then the
papers' rows, the short ones first, until the minutes are over; a row that was killed goes on in the
next call. What is found is written after each part: OUT/summary.json, OUT/summary.md, and the
finished rows beside them.

    python tests/cuda_check.py --only tiny          # minutes
    python tests/cuda_check.py --minutes 25         # all of it
    python tests/cuda_check.py --device cpu         # a rehearsal, the CPU in the GPU's place
"""

import argparse
import contextlib
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import test_devices  # noqa: E402
from stress import one_line, stable  # noqa: E402

import common  # noqa: E402
import dgm  # noqa: E402
import gan_replay  # noqa: E402
import grad_predict  # noqa: E402
import synthetic_meta  # noqa: E402
from beyond import episodic  # noqa: E402
from tools.plan import start  # noqa: E402
from tools.tables import markdown_table, mean_sd  # noqa: E402

NO_GPU = ("no CUDA device here: make cuda needs one; every script is tested on a pretended device "
          "instead, tests/test_devices.py")  # fmt: skip
MODULES = {module.__name__.rpartition(".")[2]: module
           for module in (gan_replay, dgm, synthetic_meta, grad_predict, episodic)}  # fmt: skip
JOBS = max(1, min(8, os.cpu_count() or 1))  # tiny runs at once; steps and rows run alone
LIMIT = 600  # seconds, for any run but a row
SLACK = 0.02  # of accuracy: a few test images
# Student's t, by degrees of freedom: exceeded by chance once in a thousand, both sides together.
T_999 = {2: 31.60, 4: 8.610, 6: 5.959, 8: 5.041, 10: 4.587, 12: 4.318}

# Runs of seconds that learn something, so that a device that computes wrongly shows.
LEARNS = {
    "gan_replay": "--preset improved --train-size 1500 --test-size 600 --gan-steps 250 "
        "--gan-batch-size 16 --gan-width 16 --solver-steps 100 --batch-size 32",
    "dgm": "--preset laptop --train-size 1000 --test-size 500 --tasks 3 --epochs 10 --ngf 8 "
        "--ndf 8 --batch-size 16 --classifier-steps 150",
    "synthetic_meta": "--preset improved --init learned --image-size 16 --train-size 2000 "
        "--test-size 500 --channels 18 32 --gen-width 8 --real-batch 100 --meta-steps 25 "
        "--learner-seeds 6 --horizons 5 --batches 40",
    "grad_predict": "--preset improved --image-size 14 --train-size 2000 --test-size 500 "
        "--tasks 3 --iterations 150 --lr 0.1 --n-pseudo 50",
    "episodic": "--method icarl --train-size 2000 --test-size 600 --tasks 4 --epochs 4 --width 8 "
        "--batch-size 16 --replay-batch-size 16",
}  # fmt: skip


class Timed(NamedTuple):
    """Two runs at the paper's sizes; what they differ in is steps, without start and warm-up."""

    flags: str
    longer: str  # the flag that makes a run longer
    values: tuple[int, int]
    steps: Callable[[dict], float]


# Glyphs come in as many of each digit: a tenth of --train-size is one class.
STEPS = {
    "gan_replay": Timed("--train-size 6000 --test-size 1000 --n-gen 600 --solver-epochs 1",
        "--gan-epochs", (1, 3), lambda run: sum(task["gan_images"] for task in run["tasks"]) / 64),
    "dgm": Timed("--train-size 6400 --test-size 1000 --tasks 2", "--epochs", (2, 8),
        lambda run: sum(task["iterations"] for task in run["tasks"])),
    "synthetic_meta": Timed("--train-size 6000 --test-size 1000 --learner-seeds 1 --horizons 5 "
        "--batches 40", "--meta-steps", (3, 18), lambda run: run["args"]["meta_steps"]),
    "grad_predict": Timed("--train-size 6000 --test-size 1000 --tasks 2",
        "--iterations", (200, 1200), lambda run: 2 * run["args"]["iterations"]),
    "episodic": Timed("--method icarl --train-size 6000 --test-size 1000 --tasks 2", "--epochs",
        (2, 12), lambda run: 2 * run["args"]["epochs"] * (600 // run["args"]["batch_size"])),
}  # fmt: skip


class Failed(Exception):
    """Why a check is not passed, in one line."""


# --------------------------------------------------------------------------------------------
# Runs, as a user starts them
# --------------------------------------------------------------------------------------------


def command(script: str) -> list[str]:
    """What starts a script."""
    return [sys.executable, *start(script).split()]


def run(script: str, argv: list, *, hide: bool = False, limit: float = LIMIT,
        kill_at: Path | None = None) -> tuple[int, str]:  # fmt: skip
    """Exit code (-9: killed) and stderr; `hide`: it sees no GPU; it dies when `kill_at` exists."""
    env = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if hide else {})
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([*command(script), *map(str, argv)], env=env, cwd=ROOT,
                                   stdout=subprocess.DEVNULL, stderr=said)  # fmt: skip
        try:
            while process.poll() is None:
                time.sleep(0.01)
                late = time.monotonic() - begun > limit
                if late or (kill_at is not None and kill_at.exists()):
                    process.kill()
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        return process.returncode, said.read()


def finished(script: str, argv: list, out: Path, **how: Any) -> dict:
    """The result of a run that must end well."""
    code, said = run(script, [*argv, "--out", out], **how)
    if code:
        lines = [line for line in said.splitlines() if line.strip()] or ["nothing said"]
        late = code < 0 and "killed after its time, " * (how.get("kill_at") is None)
        raise Failed(f"{start(script)} {' '.join(map(str, argv))}: {late or ''}exit code {code}: "
                     + lines[-1].strip())  # fmt: skip
    return common.read_json(out)


def together(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Run some at once; the first exception comes out."""
    with ThreadPoolExecutor(JOBS) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def on(device: str) -> list[str]:
    return ["--dataset", "glyphs", "--device", device, "--threads", "1"]


# --------------------------------------------------------------------------------------------
# Tiny checks: each returns its numbers, or raises Failed
# --------------------------------------------------------------------------------------------


def measure(result: dict) -> float:
    """Accuracy on the tasks met, after each task: what is learned and what is kept, in one."""
    met = [a for t, row in enumerate(result["R"]) for a in row[:t]]
    return statistics.fmean(met) if met else 0.0


def agree(a: list[float], b: list[float]) -> dict[str, float]:
    """Whether the means of two samples of n seeds differ by no more than chance explains.

    The same seed gives other random numbers on another device, so only the samples compare. The
    tolerance is Student's t for 2n - 2 degrees of freedom times the standard error of the
    difference, pooled, plus SLACK: equal devices fail less than once in a thousand. (Four standard
    errors would do so once in sixty, as an error estimated from a few seeds is often too small.)
    """
    n, difference = len(a), statistics.fmean(a) - statistics.fmean(b)
    error = math.sqrt((statistics.variance(a) + statistics.variance(b)) / n)
    tolerance = T_999[2 * n - 2] * error + SLACK
    return {"difference": difference, "tolerance": tolerance,
            "agree": abs(difference) <= tolerance}  # fmt: skip


def learned(script: str, device: str, folder: Path, seeds: int) -> list[list[float]]:
    """The measure of every seed: on the CPU, on the device."""
    flags, sides = LEARNS[script].split(), {"cpu": "cpu", "device": device}
    jobs = [lambda s=s, side=side, d=d: measure(finished(script, [*flags, *on(d), "--seed", s],
                                                         folder / f"{side}-{s}.json"))
            for s in range(seeds) for side, d in sides.items()]  # fmt: skip
    values = together(jobs)
    return [values[0::2], values[1::2]]


def same_accuracy(script: str, device: str, folder: Path, seeds: int) -> dict:
    cpu, there = learned(script, device, folder, seeds)
    found = agree(cpu, there) | {"cpu": cpu, device: there}
    found["text"] = (f"CPU {mean_sd(cpu)}, {device} {mean_sd(there)}, "
                     f"tolerance {found['tolerance']:.3f}")  # fmt: skip
    if not found.pop("agree"):
        raise Failed(f"accuracies differ: {found['text']}")
    return found


def killed(script: str, folder: Path, name: str, hide: bool) -> Path:
    """The target of a run that was killed once it had a checkpoint, which lies beside it."""
    target = folder / f"{name}.json"
    checkpoint = Path(f"{target}.ckpt")
    argv = [*LEARNS[script].split(), *on("auto"), "--checkpoint-every", "0", "--out", target]
    for _ in range(3):
        code, said = run(script, argv, hide=hide, kill_at=checkpoint)
        if code == -9 and checkpoint.exists() and not target.exists():
            return target
        if code not in (0, -9):
            raise Failed(f"exit code {code}: {said.strip().splitlines()[-1]}")
        target.unlink(missing_ok=True)
        checkpoint.unlink(missing_ok=True)
    raise Failed("it could not be killed between its first checkpoint and its end")


def apart(a: dict, b: dict) -> float:
    """The largest difference of two runs in any accuracy."""
    return max(abs(x - y) for rows in zip(a["R"], b["R"]) for x, y in zip(*rows))


def goes_on(script: str, device: str, folder: Path, seeds: int) -> dict:
    """Killed and started again it ends in the bytes of the undisturbed run, folder/device-0.json.

    Where even two undisturbed runs end in other bytes, only their measure can be compared: by the
    spread of the seeds.
    """
    flags, hide = [*LEARNS[script].split(), *on("auto")], device == "cpu"
    target = killed(script, folder, "killed", hide)
    shutil.copy(f"{target}.ckpt", folder / "moved.json.ckpt")  # for `refuses`
    code, said = run(script, [*flags, "--out", target], hide=hide)
    if code or "continuing from" not in said:
        raise Failed(f"it did not go on: exit code {code}: {said.strip().splitlines()[-1]}")
    finished(script, flags, folder / "again.json", hide=hide)
    names = ("device-0", "killed", "again")
    whole, resumed, again = (common.read_json(folder / f"{name}.json") for name in names)
    lines = [stable(folder / f"{name}.json") for name in names]
    found: dict[str, Any] = {"equal bytes": lines[0] == lines[1], "apart": apart(whole, resumed),
                             "repeatable": lines[0] == lines[2],
                             "two runs apart": apart(whole, again)}  # fmt: skip
    spread = [statistics.variance([measure(common.read_json(folder / f"{side}-{s}.json"))
                                   for s in range(seeds)]) for side in ("cpu", "device")]
    found["tolerance"] = T_999[2 * seeds - 2] * math.sqrt(sum(spread)) + SLACK
    found["text"] = "equal bytes" if found["equal bytes"] else (
        f"other bytes, accuracies up to {found['apart']:.3f} apart; of two undisturbed runs "
        f"{found['two runs apart']:.3f}, {'equal' if found['repeatable'] else 'other'} bytes")
    far = abs(measure(whole) - measure(resumed)) > found["tolerance"]
    if not found["equal bytes"] and (found["repeatable"] or far):
        raise Failed(f"resumed, it ended elsewhere: {found['text']}")
    return found


def refuses(script: str, device: str, folder: Path, seeds: int) -> dict:
    """A checkpoint of the other device is refused in one line, both ways.

    Both runs are of --device auto, one without sight of the GPU, as when a folder moves to another
    machine. `goes_on` has left the device's checkpoint.
    """
    if device == "cpu":
        return {"passed": None, "text": "not asked: there is one device only"}
    there = folder / "moved.json"
    here = killed(script, folder, "here", hide=True)
    said = {}
    for way, target, hide in ((f"{device} to cpu", there, True), (f"cpu to {device}", here, False)):
        flags = [*LEARNS[script].split(), *on("auto"), "--out", target]
        code, text = run(script, flags, hide=hide)
        if not one_line(code, text) or "the checkpoint was made on" not in text or target.exists():
            raise Failed(f"{way}: exit code {code}: {(text.strip() or '-').splitlines()[-1]}")
        said[way] = [line for line in text.splitlines() if line.startswith("error: ")][0]
    return {"said": said, "text": "refused in one line, both ways"}


def every_flag(script: str, device: str, folder: Path, seeds: int) -> dict:
    """The flags of the tests on a pretended device, and of the papers' rows, at the tests' size."""
    tiny = test_devices.TINY[script]
    flags = [[*tiny, *more.split()] for more in ("", *test_devices.ALSO[script])]
    for _, more in rows_of(script):
        preset = ["--preset", "paper"] * (script == "dgm")  # its TINY says laptop
        flags.append([*more.split(), *tiny, *preset])
    together([lambda i=i, f=f: finished(script, [*f, "--device", device], folder / f"tiny-{i}.json")
              for i, f in enumerate(flags)])  # fmt: skip
    return {"runs": len(flags), "text": f"{len(flags)} of {len(flags)} commands run"}


TINY_CHECKS = {"every flag": every_flag, "accuracy": same_accuracy, "resume": goes_on,
               "other device's checkpoint": refuses}  # fmt: skip


def checked(name: str, check: Callable[[], dict]) -> dict:
    """One check: its numbers, whether it passed (None: not asked), seconds; says so in a line."""
    begun, found = time.monotonic(), {"check": name, "passed": True}
    try:
        found |= check()
    except (Failed, common.UserError) as error:
        found |= {"passed": False, "text": " ".join(str(error).split())[:500]}
    except (KeyError, IndexError, OSError, ValueError, TypeError) as error:  # an odd result
        found |= {"passed": False, "text": f"{type(error).__name__}: {error}"}
    found["seconds"] = round(time.monotonic() - begun, 1)
    word = {True: "ok", False: "FAILED", None: "–"}[found["passed"]]
    print(f"{word:6} {name}: {found['text']} ({found['seconds']:.0f} s)", flush=True)
    return found


def tiny(device: str, scripts: list[str], seeds: int) -> dict:
    out = []
    with contextlib.ExitStack() as stack:
        folders = {s: Path(stack.enter_context(tempfile.TemporaryDirectory())) for s in scripts}
        for what, check in TINY_CHECKS.items():
            out += [checked(f"{s}, {what}", lambda s=s, c=check: c(s, device, folders[s], seeds))
                    for s in scripts]  # fmt: skip
    return {"dataset": "glyphs", "seeds": seeds, "checks": out}


# --------------------------------------------------------------------------------------------
# Milliseconds of a step
# --------------------------------------------------------------------------------------------


def step(script: str, device: str, folder: Path) -> dict:
    """Milliseconds of a step, one thread, and the device's peak memory."""
    timed, found = STEPS[script], {}
    for where, name in (("cpu", "cpu ms"), (device, "device ms")):
        ends = []
        for value in timed.values:
            argv = [*timed.flags.split(), timed.longer, value, *on(where)]
            result = finished(script, argv, folder / f"{name}-{value}.json")
            seconds = result["timing"].get("meta_s", result["timing"]["wall_s"])
            ends.append((seconds, timed.steps(result)))
        (short, few), (long, many) = ends
        found[name] = 1000 * (long - short) / (many - few)
        found["steps"] = many - few
    found["peak device MB"] = result["environment"]["peak_device_memory_mb"]
    found["text"] = (f"CPU {found['cpu ms']:.2f} ms, {device} {found['device ms']:.2f} ms, "
                     f"{found['peak device MB']:.0f} MB there")  # fmt: skip
    if not found["device ms"] > 0:
        raise Failed(f"the longer run was not longer: {found['text']}")
    return found


def steps(device: str, scripts: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        return {"dataset": "glyphs", "checks": [
            checked(f"{s}, a step", lambda s=s: step(s, device, Path(folder))) for s in scripts]}


# --------------------------------------------------------------------------------------------
# The papers' rows, the short ones first
# --------------------------------------------------------------------------------------------


def rows_of(script: str) -> list[tuple[str, str]]:
    """Name and flags of what stands in the paper, at the paper's size, on MNIST."""
    return [(name, flags) for name, (item, flags, _) in MODULES[script].ROWS.items()
            if not (item.startswith("–") or "laptop" in flags or "Table 2" in item)]


def reference_of(script: str, name: str) -> dict:
    """Our run on a CPU, or {}."""
    with contextlib.suppress(common.UserError):
        return common.read_json(ROOT / "reference" / script / f"{name}-seed0.json")
    return {}


def plan(scripts: list[str]) -> list[tuple[str, str, str]]:
    """Script, name and flags of all rows, by how long they took on a CPU.

    Rows that never ran (dgm.py's of --preset paper) come last, by the same row at laptop size.
    """
    def length(row: tuple[str, str, str]) -> tuple[bool, float]:
        own, twin = (reference_of(row[0], name) for name in (row[1], row[1].removesuffix("-paper")))
        seconds = [r["timing"]["wall_s"] if r else math.inf for r in (own, twin)]
        return not own, seconds[0] if own else seconds[1]

    return sorted(((s, *row) for s in scripts for row in rows_of(s)), key=length)


def dataset(data_dir: str) -> str:
    """MNIST if it is there or can be had, else glyphs."""
    try:
        common.load_dataset("mnist", data_dir)
        return "mnist"
    except common.UserError as error:
        print(f"glyphs instead of MNIST: {error}", file=sys.stderr)
        return "glyphs"


def row(script: str, name: str, flags: str, data: list[str], device: str, target: Path,
        final: Path, deadline: float) -> dict:  # fmt: skip
    """Run a row, or go on with it, unless it is done or the minutes are over."""
    note: dict[str, Any] = {"row": f"{script}/{name}", "state": "done"}
    if not final.exists() and not target.exists():
        left = deadline - time.monotonic()
        if left <= 0:
            return note | {"state": "begun" if Path(f"{target}.ckpt").exists() else "waits"}
        record = ["--record-death"] if script == "grad_predict" else []
        argv = [*flags.split(), *data, *record, "--device", device, "--threads", "1", "--seed", "0"]
        try:
            finished(script, argv, target, limit=left)
        except Failed as error:
            if time.monotonic() < deadline:
                return note | {"state": "failed", "text": str(error)}
            return note | {"state": "begun" if Path(f"{target}.ckpt").exists() else "waits"}
    if not final.exists():
        common.write_text(final, target.read_text())
    ours, cpu = common.read_json(final, ["R", "timing", "environment"]), reference_of(script, name)
    note |= {"device": ours["environment"]["device"], "seconds": ours["timing"]["wall_s"],
             "ACC": statistics.fmean(ours["R"][-1]),
             "peak device MB": ours["environment"]["peak_device_memory_mb"]}  # fmt: skip
    if cpu and cpu["args"]["dataset"] == data[1]:
        note |= {"cpu seconds": cpu["timing"]["wall_s"], "cpu ACC": statistics.fmean(cpu["R"][-1])}
    return note


def rows(device: str, scripts: list[str], data_dir: str, results: Path, out: Path,
         deadline: float, save: Callable[[dict], None]) -> dict:  # fmt: skip
    """All rows, for as long as there are minutes; a row that fails is a failed check."""
    kind = dataset(data_dir)
    data, found = ["--dataset", kind, "--data-dir", data_dir], {"dataset": kind}
    found |= {"rows": [], "checks": []}
    for script, name, flags in plan(scripts):
        where = Path(kind, script, f"{name}-seed0.json")
        note = row(script, name, flags, data, device, results / where, out / where, deadline)
        found["rows"].append(note)
        if note["state"] == "failed":
            found["checks"].append({"check": note["row"], "passed": False, "text": note["text"],
                                    "seconds": 0.0})  # fmt: skip
        if note["state"] != "waits":
            seconds = f", {note['seconds']:.0f} s" if "seconds" in note else ""
            print(f"row    {note['row']}: {note['state']}{seconds}", flush=True)
            save(found)
    return found


# --------------------------------------------------------------------------------------------
# The page, flags and main
# --------------------------------------------------------------------------------------------


def page(summary: dict) -> str:
    """summary.json as text."""
    device = summary["environment"]["device"]
    out = [f"# The scripts on {device}", "Written by `make cuda` (tests/cuda_check.py)."]
    for part, title in (("tiny", "Tiny runs"), ("steps", "A step"), ("rows", "The papers' rows")):
        if part not in summary:
            continue
        found = summary[part]
        env = found["environment"]
        out += [f"## {title}", f"Data: {found['dataset']}. {env['device']}, torch {env['torch']}, "
                f"commit {env['commit'][:7]}, {env['date'][:10]}."]  # fmt: skip
        signs = {True: "✅", False: "❌", None: "–"}
        cells = [[c["check"], signs[c["passed"]], c["text"].replace("|", "/"),
                  f"{c['seconds']:.0f}"] for c in found["checks"]]  # fmt: skip
        if cells:
            out.append(markdown_table(["check", "passed", "found", "s"], cells).strip())
        if part == "rows":
            header = ["row", "state", "s", "s on the CPU", "accuracy", "on the CPU", "MB there"]
            keys = [("seconds", ".0f"), ("cpu seconds", ".0f"), ("ACC", ".3f"),
                    ("cpu ACC", ".3f"), ("peak device MB", ".0f")]  # fmt: skip
            out.append(markdown_table(header, [
                [note["row"], note["state"],
                 *(format(note[k], f) if k in note else "–" for k, f in keys)]
                for note in found["rows"]]).strip())  # fmt: skip
    return "\n\n".join(out) + "\n"


def versions(device: str) -> dict:
    """What made the numbers."""
    cudnn = torch.backends.cudnn.version() if device == "cuda" else None
    return common.environment(torch.device(device)) | {"cuda": torch.version.cuda, "cudnn": cudnn}


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    common.errors_in_one_line(parser)
    add = parser.add_argument
    add("--device", default="cuda", choices=["cuda", "cpu"],
        help="cpu: a rehearsal; CUDA_VISIBLE_DEVICES chooses between GPUs")
    add("--minutes", type=float, default=25.0,
        help="in all; the checks are not cut short, rows get what they leave")
    add("--data-dir", default="data", help="where MNIST is, or is downloaded to")
    add("--out", default="reference/{device}", help="the summary and the finished rows")
    add("--results", default="results/{device}", help="rows under way, with their checkpoints")
    add("--only", default="", choices=["", "tiny", "steps", "rows"],
        help="one part; what the summary has of the others stays")
    add("--scripts", nargs="+", default=list(MODULES), choices=list(MODULES),
        help="the parts that run are then of these alone, in the summary too")
    add("--seeds", type=int, default=4, choices=range(2, 8), help="of the tiny runs")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """All parts, the summary after each; exit code 1 if a check of this call failed."""
    args = parse_args(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise common.UserError(NO_GPU)
    deadline = time.monotonic() + 60 * args.minutes
    out, results = (Path(p.replace("{device}", args.device)) for p in (args.out, args.results))
    path = common.check_writable(out / "summary.json")
    summary = common.read_json(path) if path.exists() else {}
    env, failed = versions(args.device), []

    def save(part: str, found: dict) -> None:
        summary.update({"environment": env, part: found | {"environment": env}})
        common.write_result(path, {k: v for k, v in summary.items() if k != "checksum"})
        common.write_text(out / "summary.md", page(summary))

    parts = {
        "tiny": lambda: tiny(args.device, args.scripts, args.seeds),
        "steps": lambda: steps(args.device, args.scripts),
        "rows": lambda: rows(args.device, args.scripts, args.data_dir, results, out, deadline,
                             lambda found: save("rows", found)),
    }  # fmt: skip
    for part, do in parts.items():
        if args.only in ("", part):
            found = do()
            save(part, found)
            failed += [check for check in found["checks"] if check["passed"] is False]
    for check in failed:
        print(f"failed: {check['check']}: {check['text']}", file=sys.stderr)
    print(f"{path} and {out / 'summary.md'} are written")
    sys.exit(int(bool(failed)))


if __name__ == "__main__":
    common.exit_in_one_line(main)
