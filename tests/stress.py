"""Kill, damage and misuse every script, and see that nothing is lost: `make stress`.

A run is killed with SIGKILL at random moments, and on purpose while it samples, evaluates and
writes; started again, it must end in the same bytes as a run that nobody disturbed. Damaged
checkpoints, results and images, a full disk, a folder without write permission, two runs with one
target and wrong flags must each give one line and exit code 2 (1 for what fails while running), no
stack trace and no half-written file. Every try is a fork of this process, which has torch loaded.

    python tests/stress.py --kills 25 --seed 0 --out reference/stress.json
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
import test_dgm  # noqa: E402
import test_episodic  # noqa: E402
import test_gan_replay  # noqa: E402
import test_grad_predict  # noqa: E402
import test_synthetic_meta  # noqa: E402

import common  # noqa: E402
import dgm  # noqa: E402
import gan_replay  # noqa: E402
import grad_predict  # noqa: E402
import synthetic_meta  # noqa: E402
from beyond import episodic  # noqa: E402
from tools import compare, draw, results, status  # noqa: E402
from tools.tables import markdown_table  # noqa: E402

ROOT = Path(__file__).parent.parent

# name: module, its tests' smallest run, more flags, what it calls to sample and to evaluate.
SCRIPTS = {
    "gan_replay": (gan_replay, test_gan_replay.TINY, [], {"sampling": "mix",
                                                          "evaluation": "accuracies"}),
    "dgm": (dgm, test_dgm.TINY, [], {"sampling": "replay", "evaluation": "evaluate"}),
    "synthetic_meta": (synthetic_meta, test_synthetic_meta.TINY, ["--meta-steps", "12"],
                       {"sampling": "draw_batches", "evaluation": "accuracies"}),
    "grad_predict": (grad_predict, test_grad_predict.TINY,
                     ["--preset", "improved", "--iterations", "60"],
                     {"sampling": "draw", "evaluation": "test"}),
    "episodic": (episodic, test_episodic.TINY, ["--method", "icarl"],
                 {"sampling": "renew_memory", "evaluation": "evaluate"}),
}  # fmt: skip
# Lines of a result that time and place change.
UNSTABLE = ('"args"', '"command"', '"timing"', '"environment"', '"checksum"')


def fork(module, argv: list[str], folder: Path, before: Callable[[], None] = lambda: None) -> int:
    """Start `python SCRIPT.py ARGV` as a child whose output goes to files in `folder`; its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
        before()
        common.exit_in_one_line(lambda: module.main(argv))
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    """Exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def do(module, argv: list[str], folder: Path, before=lambda: None) -> tuple[int, str]:
    """Run to the end: exit code and what was said on stderr."""
    code = wait(fork(module, argv, folder, before))
    return code, (folder / "stderr").read_text() if (folder / "stderr").exists() else ""


def stable(path: Path) -> list[str]:
    """The lines of a result that must be the same in every run."""
    return [line for line in path.read_text().splitlines() if not line.startswith(UNSTABLE)]


def one_line(code: int, said: str, codes: tuple[int, ...] = (2,)) -> bool:
    """Whether a failure was reported as it should be."""
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    return code in codes and len(errors) == 1 and "Traceback" not in said


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killer(module, phases: dict[str, str], phase: str, count: int) -> Callable[[], None]:
    """Something to call in the child: it dies when it enters `phase` for the count-th time."""

    def arm() -> None:
        left = [count]

        def tick() -> None:
            left[0] -= 1
            if not left[0]:
                die()

        if phase == "writing":
            whole = common.write_atomically

            def half(path, write):
                def cut(file):
                    file.write(b"half")
                    file.flush()
                    tick()
                    file.seek(0)
                    file.truncate()
                    write(file)

                whole(path, cut)

            common.write_atomically = half
            return
        real = getattr(module, phases[phase])

        def wrapped(*args, **kwargs):
            tick()
            return real(*args, **kwargs)

        setattr(module, phases[phase], wrapped)

    return arm


def kills(name: str, goal: int, chance: random.Random, folder: Path) -> tuple[dict[str, int], int]:
    """Kill runs of a script `goal` times, continue each to its end; kills by phase, wrong ends."""
    module, tiny, more, phases = SCRIPTS[name]
    flags = [*tiny, *more, "--checkpoint-every", "0.02"]
    begun = time.perf_counter()
    code, said = do(module, [*flags, "--out", str(folder / "whole.json")], folder)
    seconds = time.perf_counter() - begun
    assert code == 0, said
    whole, target = stable(folder / "whole.json"), folder / "killed.json"
    count, wrong = dict.fromkeys(("any moment", *phases, "writing"), 0), 0
    while sum(count.values()) < goal:
        for tries in range(8):
            phase = chance.choice(list(count)) if tries < 7 else "none"  # the last one may end
            aimed = phase in (*phases, "writing")
            arm = killer(module, phases, phase, chance.randint(1, 4)) if aimed else lambda: None
            pid = fork(module, [*flags, "--out", str(target)], folder, arm)
            if phase == "any moment":
                time.sleep(chance.uniform(0, seconds))
                os.kill(pid, signal.SIGKILL)
            code = wait(pid)
            if code == 0:
                break
            if code != -signal.SIGKILL:
                wrong += 1
                print(f"{name}: exit code {code}: {(folder / 'stderr').read_text()}")
                break
            count[phase] += 1
            if target.exists() and stable(target) != whole:
                wrong += 1
        left = [p for p in folder.glob("killed.json.ckpt")]
        if not target.exists() or stable(target) != whole or (code == 0 and left):
            wrong += 1
        for path in folder.glob("*killed.json*"):
            path.unlink()
        for path in folder.glob(".killed.json*"):
            path.unlink()
    return count, wrong


def damage(data: bytes, chance: random.Random) -> bytes:
    """Cut off at a random place, or with one random bit flipped."""
    place = chance.randrange(len(data))
    if chance.random() < 0.4:
        return data[:place]
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def damaged(name: str, tries: int, chance: random.Random, folder: Path) -> tuple[int, int]:
    """Checkpoints and results cut or flipped: how many were refused, how many went wrong.

    Each must be refused or be as good as whole.
    """
    module, tiny, more, phases = SCRIPTS[name]
    flags = [*tiny, *more, "--checkpoint-every", "0"]
    do(module, [*flags, "--out", str(folder / "whole.json")], folder)
    whole = stable(folder / "whole.json")
    target = folder / "cut.json"
    argv = [*flags, "--out", str(target)]
    code, _ = do(module, argv, folder, killer(module, phases, "writing", 4))
    good = Path(f"{target}.ckpt").read_bytes()
    refused = wrong = 0
    for _ in range(tries):
        Path(f"{target}.ckpt").write_bytes(damage(good, chance))
        code, said = do(module, argv, folder)
        fine = code == 0 and stable(target) == whole
        refused += one_line(code, said)
        wrong += not (fine or one_line(code, said))
        target.unlink(missing_ok=True)
    results = folder / "results"
    results.mkdir()
    known = min((ROOT / "reference" / name).glob("*-seed0.json"), key=lambda p: p.stat().st_size)
    good = known.read_bytes()
    content = json.loads(good)
    for _ in range(tries):
        (results / known.name).write_bytes(damage(good, chance))
        argv = [name, "--runs", str(results), "--figures", str(folder / "figures")]
        code, said = do(draw, argv, folder)
        try:
            left = json.loads((results / known.name).read_bytes())
            fine = code == 0 and left == content
        except ValueError:
            fine = False
        refused += one_line(code, said)
        wrong += not (fine or one_line(code, said))
        if not (fine or one_line(code, said)):
            print(f"tools.draw {name}: exit code {code}: {said[-300:]}")
    return refused, wrong


def damaged_images(tries: int, chance: random.Random, folder: Path) -> tuple[int, int]:
    """A folder of images, one of them cut, flipped or replaced: refused, or wrong."""
    x, y = common.make_glyphs(120, 0)
    for i, (image, label) in enumerate(zip(x, y.tolist())):
        where = folder / "images" / ("train" if i < 100 else "test") / str(label)
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(where / f"{i}.png")
    module, tiny, *_ = SCRIPTS["gan_replay"]
    argv = [*tiny, "--dataset", str(folder / "images"), "--train-size", "0", "--test-size", "0",
            "--replay", "none", "--out", str(folder / "r.json")]  # fmt: skip
    refused = wrong = 0
    paths = sorted((folder / "images").glob("*/*/*.png"))
    for _ in range(tries):
        path = chance.choice(paths)
        good = path.read_bytes()
        path.write_bytes(damage(good, chance))
        code, said = do(module, argv, folder)
        refused += one_line(code, said)
        wrong += not (code == 0 or one_line(code, said))
        if not (code == 0 or one_line(code, said)):
            print(f"image folder: exit code {code}: {said[-300:]}")
        path.write_bytes(good)
        (folder / "r.json").unlink(missing_ok=True)
    return refused, wrong


def full_disk(name: str, folder: Path) -> int:
    """No file may grow above a few bytes: one line, exit code 1, nothing half-written. 1: wrong."""
    module, tiny, more, _ = SCRIPTS[name]
    wrong = 0
    for every, limit in (("0", 300), ("1000", 300), ("1000", 0)):
        target = folder / f"full-{every}-{limit}.json"
        reader, writer = os.pipe()  # messages must not go to a file, which is full as well

        def fill(limit: int = limit, writer: int = writer) -> None:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        argv = [*tiny, *more, "--checkpoint-every", every, "--out", str(target)]
        code, _ = do(module, argv, folder, fill)
        os.close(writer)
        with open(reader) as pipe:
            said = pipe.read()
        wrong += not one_line(code, said, (1, 2)) or any(folder.glob(f"*{target.name}*"))
    return wrong


def read_only(name: str, folder: Path) -> int:
    """An output folder that nobody may write to, as a user who is not root. 1: wrong."""
    module, tiny, more, _ = SCRIPTS[name]
    locked = folder / "locked"
    locked.mkdir()
    locked.chmod(0o555)

    def drop() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)

    code, said = do(module, [*tiny, *more, "--out", str(locked / "r.json")], folder, drop)
    return int(not one_line(code, said) or any(locked.iterdir()))


def two_at_once(name: str, folder: Path) -> int:
    """Two runs with one target: both end, and the result is whole. 1: wrong."""
    module, tiny, more, _ = SCRIPTS[name]
    flags = [*tiny, *more, "--checkpoint-every", "0"]
    do(module, [*flags, "--out", str(folder / "alone.json")], folder)
    argv = [*flags, "--out", str(folder / "both.json")]
    pids = [fork(module, argv, folder) for _ in range(2)]
    codes = [wait(pid) for pid in pids]
    same = stable(folder / "both.json") == stable(folder / "alone.json")
    return int(codes != [0, 0] or not same or bool(list(folder.glob("*both.json.*"))))


def wrong_pictures(folder: Path) -> list[str]:
    """Folders of images that cannot be learned from, or not as they are."""
    made = []

    def pictures(name: str, size=lambda i: (16, 16), mode="L"):
        for part, n in (("train", 6), ("test", 3)):
            for c in "abcd":
                where = folder / name / part / c
                where.mkdir(parents=True)
                for i in range(n):
                    noise = Image.effect_noise(size(i), 60)
                    noise.convert(mode).save(where / f"{i}.{'tiff' if mode == 'F' else 'png'}")
        made.append(str(folder / name))
        return folder / name

    shutil.rmtree(pictures("one-part") / "test")
    shutil.rmtree(pictures("other-classes") / "test/d")
    for file in (pictures("empty-class") / "train/a").iterdir():
        file.unlink()
    pictures("sizes", size=lambda i: (16, 16 + i))
    pictures("floats", mode="F")  # nothing tells which value is white
    (pictures("no-image") / "train/b/0.png").write_text("text")
    (pictures("cut") / "train/c/1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for file in pictures("blank").glob("*/*/*"):
        Image.new("L", (16, 16), 7).save(file)
    for n, file in enumerate(sorted(pictures("vanishes").glob("*/*/*"))):  # on white, and on black
        Image.new("LA", (16, 16), (255 * (n % 2), 255)).save(file)
        picture = Image.new("LA", (16, 16), (255 * (n % 2), 0))
        picture.putpixel((8, 8), (255 * (n % 2), 255))
        picture.save(file)
    return made


def wrong_results(folder: Path) -> tuple[int, int]:
    """Results and pages that tools must not believe: how many were tried, how many passed."""
    source, bad = ROOT / "reference/gan_replay", 0
    sound = folder / "sound"
    sound.mkdir()
    shutil.copy(source / "none-seed0.json", sound)

    def one(name: str, **change) -> Path:
        run = json.loads((source / "none-seed0.json").read_text())
        run |= {key: value for key, value in change.items() if key != "args"}
        run["args"] |= change.get("args", {})
        run.pop("checksum")
        where = folder / name.replace("/", "-")
        where.mkdir()
        common.write_result(where / name.split("/")[-1], run)
        return where

    folders = [  # none of these is the row that its name says
        one("seed/none-seed1.json"), one("row/improved-seed0.json"), one("no-row/best-seed0.json"),
        one("joint/joint-seed0.json"), one("flag/none-seed0.json", args={"solver_epochs": 7}),
        one("script/none-seed0.json", script="dgm"), one("schema/none-seed0.json", schema=99),
        one("unfit/none-seed0.json", skipped="too few classes"),
        one("parts/none-seed0.json", args={"dataset": "nowhere", "replay": "real"}),
    ]  # fmt: skip
    (folder / "text").mkdir()
    (folder / "text/none-seed0.json").write_text("hello")
    (folder / "none").mkdir()
    out = ["--figures", str(folder / "figures")]
    cases = [(draw, ["gan_replay", "--runs", str(some), *out])
             for some in [*folders, folder / "text", folder / "none", folder / "nowhere"]]
    fine = ["gan_replay", "--runs", str(sound), *out]
    cases += [(draw, [*fine, "--item", "figure99"]), (draw, ["nothing"]),
              (draw, [*fine, "--docs", str(folder / "text/none-seed0.json")]),
              (draw, [*fine, "--figures", "/dev/null/f"]), (results, ["--runs", str(folder)]),
              (results, ["--out", "/dev/null/x.md"]), (compare, [str(folder)]),
              (compare, [str(folder / "nowhere")]), (compare, []), (status, [])]  # fmt: skip
    for module, argv in cases:
        code, said = do(module, argv, folder)
        drawn = code == 0 and "could run on these data" in (folder / "stdout").read_text()
        if not one_line(code, said) and not drawn:
            bad += 1
            print(f"{module.__name__} {argv}: exit code {code}: {said[-300:]}")
    return len(cases), bad


def wrong_makes(folder: Path) -> tuple[int, int]:
    """Variables that make cannot work with, and two folders of one name."""
    data = folder / "x/pets/train/a"
    data.mkdir(parents=True)
    here = ["make", "-n", "VENV="]
    cases = [["VENV=my env"], ["DATA=my data"], ["DATA=it's"], ['DATA=a"b'], ["DATASET=a b"],
             ["PRESET=huge"], ["VENV=it's"]]  # fmt: skip
    bad = 0
    for case in cases:
        done = subprocess.run([*here, "gan_replay", *case], cwd=ROOT, capture_output=True,
                              text=True)  # fmt: skip
        if done.returncode != 2 or len(done.stderr.strip().splitlines()) != 1:
            bad += 1
            print(f"make {case}: exit code {done.returncode}: {done.stderr[-300:]}")
    return len(cases), bad


def wrong_inputs(name: str, folder: Path) -> tuple[int, int]:
    """Flags, files and folders that cannot work: how many were tried, how many not refused."""
    module, tiny, more, _ = SCRIPTS[name]
    (folder / "file").write_text("not a folder")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    common.save_checkpoint(folder / "foreign.json.ckpt", {"of": "another"}, {}, torch.device("cpu"))
    (folder / "text.json.ckpt").write_text("no checkpoint")
    cases = [
        "--sed 0", "--seed", "--seed -1", "--seed 1.5", "--seed x", f"--seed {2**40}",
        "--device tpu", "--device cuda:99", "--threads -1", "--threads 100000", "--batch-size 0",
        "--preset none", "--dataset nowhere", f"--dataset {folder}/empty", "--dataset /dev/null",
        f"--dataset mnist --data-dir {folder}/file", "--train-size 1.5", "--train-size -5",
        "--test-size -1", "--image-size -3", "--validation 100000", f"--out {folder}",
        f"--out {folder}/file/r.json", "--out /dev/null/r.json", "--checkpoint-every -1",
        "--lr nan", "--lr -1", "--unknown-flag 1", "stray", "--row nothing", "--row demo/nothing",
        f"--out {folder}/pipe", "--out /dev/full",
        f"--out {folder}/{'x' * 244}.json", f"--out {folder}/foreign.json",
        f"--out {folder}/text.json", "--dataset MNIST", "--dataset cifar-10", "--seed 1,2",
        "--batch-size 16,16", "--checkpoint-every nan", "--device cuda:", "--device mps",
        "--threads 1.5", "--validation -1", "--train-size 3",
        *(f"--dataset {kind} --image-size 0 --train-size 0 --test-size 0"
          for kind in wrong_pictures(folder)),
    ]  # fmt: skip
    bad = 0
    for case in cases:
        flags = case.split()
        out = [] if "--out" in flags else ["--out", str(folder / "wrong.json")]
        code, said = do(module, [*tiny, *more, *out, *flags], folder)
        if not one_line(code, said) or (folder / "wrong.json").exists():
            bad += 1
            print(f"{name} {case}: exit code {code}: {said[-300:]}")
            (folder / "wrong.json").unlink(missing_ok=True)
    return len(cases), bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=25, help="of each script")
    parser.add_argument("--damage", type=int, default=15, help="damaged files of a kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="", help="also write the counts there, as JSON")
    parser.add_argument("--scripts", nargs="+", default=list(SCRIPTS), choices=list(SCRIPTS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows, totals, begun = [], {}, time.perf_counter()
    for name in args.scripts:
        chance = random.Random(f"{name} {args.seed}")
        where = Path(tempfile.mkdtemp(prefix=f"stress-{name}-"))

        def fresh(what: str, where: Path = where) -> Path:
            (where / what).mkdir()
            where.chmod(0o755)
            return where / what

        count, lost = kills(name, args.kills, chance, fresh("kills"))
        refused, damage_wrong = damaged(name, args.damage, chance, fresh("damage"))
        tried, unrefused = wrong_inputs(name, fresh("inputs"))
        others = [check(name, fresh(check.__name__))
                  for check in (full_disk, read_only, two_at_once)]  # fmt: skip
        totals[name] = {"kills": count, "ends in other bytes": lost, "damaged": 2 * args.damage,
                        "refused": refused, "damaged, wrong": damage_wrong, "inputs": tried,
                        "inputs, wrong": unrefused, "full disk, wrong": others[0],
                        "read-only, wrong": others[1], "one target, wrong": others[2]}  # fmt: skip
        rows.append([name, ", ".join(f"{n} {phase}" for phase, n in count.items()), str(lost),
                     f"{2 * args.damage} ({damage_wrong} wrong)", f"{tried} ({unrefused} wrong)",
                     *("❌" if other else "✅" for other in others)])  # fmt: skip
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
        shutil.rmtree(where, ignore_errors=True)
    for check in (wrong_results, wrong_makes):
        where = Path(tempfile.mkdtemp(prefix="stress-tools-"))
        tried, passed = check(where)
        counts = totals.setdefault("tools", {"inputs": 0, "inputs, wrong": 0})
        counts["inputs"], counts["inputs, wrong"] = (
            counts["inputs"] + tried, counts["inputs, wrong"] + passed)
        shutil.rmtree(where)
    rows.append(["tools, make", "–", "–", "–",
                 f"{totals['tools']['inputs']} ({totals['tools']['inputs, wrong']} wrong)", *"–––"])
    if "gan_replay" in args.scripts:
        images = Path(tempfile.mkdtemp(prefix="stress-images-"))
        refused, wrong = damaged_images(args.damage, random.Random(args.seed), images)
        totals["images"] = {"damaged": args.damage, "refused": refused, "damaged, wrong": wrong}
        rows.append(["an image folder", "–", "–", f"{args.damage} ({wrong} wrong)", *"––––"])
        shutil.rmtree(images)
    header = ["script", "killed", "ended in other bytes", "damaged files", "wrong inputs",
              "full disk", "read-only folder", "two runs, one target"]  # fmt: skip
    print(markdown_table(header, rows), end="")
    if args.out:
        whole = {"totals": totals, "kills": args.kills, "seed": args.seed,
                 "environment": common.environment(torch.device("cpu"))}  # fmt: skip
        common.write_text(args.out, json.dumps(whole, indent=1) + "\n")
    wrong = [v for counts in totals.values() for key, v in counts.items()
             if "wrong" in key or "other bytes" in key]  # fmt: skip
    sys.exit(int(any(wrong)))


if __name__ == "__main__":
    main()
