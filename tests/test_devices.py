"""Each script on a device that is not the CPU: pretended, as tests seldom have a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import test_dgm
import test_episodic
import test_gan_replay
import test_generators
import test_grad_predict
import test_synthetic_meta
from torch.utils import backend_registration

HERE = Path(__file__).parent
TINY = {
    "gan_replay": test_gan_replay.TINY,
    "dgm": test_dgm.TINY,
    "synthetic_meta": test_synthetic_meta.TINY,
    "grad_predict": test_grad_predict.TINY,
    "episodic": test_episodic.TINY,
    "generators": test_generators.TINY,
}
BEYOND = {"episodic": "beyond.episodic", "generators": "beyond.generators"}
pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch knows no devices made in Python",
)


ALSO = {  # with these flags too
    "gan_replay": ["--preset improved --gan-steps 10 --solver-steps 5", "--balance"],
    "dgm": ["--method dgma --norm batch",
            "--memory-size 20 --choice herding --keep-critic", "--preset paper"],
    "synthetic_meta": ["--preset improved --init learned", "--source gan", "--bn running"],
    "grad_predict": ["--preset improved", "--boundaries detect", "--method ewc"],
    "episodic": ["--method icarl", "--method rwalk"],
    "generators": ["--memory mergan-align", "--memory dgr", "--memory ewc"],
}  # fmt: skip


def there(code, *argv):
    """Run code in a process of its own, in which a device is pretended."""
    begin = f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parent)]}\n"
    begin += "import pretended_device; pretended_device.pretend()\n"
    command = [sys.executable, "-c", begin + code, *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("script", TINY)
def test_a_script_runs_and_goes_on_where_its_tensors_are_on_another_device(script, tmp_path):
    runs = []
    for i, flags in enumerate(["", *ALSO[script]]):
        out = str(tmp_path / f"{i}.json")
        runs.append([*TINY[script], *flags.split(), "--checkpoint-every", "0", "--out", out])
    module = BEYOND.get(script, script)
    done = there(
        f"import json, {module}\nfor argv in json.loads(sys.argv[1]):\n"
        f"    pretended_device.stop_and_go_on({module}.main, argv, 2)",
        json.dumps(runs),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("continuing from") == len(runs)
    for argv in runs:
        result = json.loads(Path(argv[-1]).read_text())
        assert "(pretended)" in result["environment"]["device"]


MIXED = ("x + y", "torch.cat([x, y])", "y[x.long()]", "x.numpy()", "x.add_(y)",
         "nn.Linear(3, 2)(x)")  # fmt: skip
MOVED = ("x + y.to(x.device)", "x[y.long()]", "x.copy_(y)", "y.copy_(x)", "x.cpu().numpy()",
         "nn.Linear(3, 2).to(x.device)(x).sum().backward()")  # fmt: skip


def test_mixing_devices_fails_there():
    done = there(
        """
import torch
from torch import nn
for line in sys.argv[1:]:
    x, y = torch.ones(3, device="pretended"), torch.ones(3)
    try:
        eval(line)
        print("runs")
    except (RuntimeError, TypeError) as error:
        print("fails")
""",
        *MIXED,
        *MOVED,
    )
    assert done.stdout.split() == ["fails"] * len(MIXED) + ["runs"] * len(MOVED), done.stderr
