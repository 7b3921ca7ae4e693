"""How fast the model is on a GPU: `python -m tests.benchmarks.gpu [--out FILE] [NAME ...]`, one command, one JSON.

Needs torch, transformers and what `model` needs (numpy, scipy, rapidfuzz, pydantic, safetensors, platformdirs), so it
runs where neither Ray nor MLflow can be installed. Prints a line for each number, `name: value (goal)`, and writes the
file anew after each benchmark, so that one that is cut short leaves what it had. On a CPU it runs as well, which tests
it: `--device cpu --sizes tiny --batches 2 --steps 2`.

    speed         documents a second in training and at inference, ratio to the encoder alone, share of the time in
                  which the GPU computes; sizes × float32 and bfloat16 × batches × GRC and MRC
    compiled      the encoder by `torch.compile`, beside as it is
    length        words of the longest document that fits, in training and at inference
    side_by_side  documents a second of 1, 2, 4, 8 trials on one GPU: by Ray where it is installed, else processes of
                  this benchmark's own; with CUDA MPS too, where it can be started
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch.profiler import ProfilerActivity, profile

from model import batch as batches
from model.data.subwords import EncodedDocument
from model.joint.network import Network
from model.settings import TrainingSettings
from model.training.feed import feed
from model.training.step import precision_of
from tests.benchmarks import command, workload
from tests.benchmarks.measuring import Line
from tests.benchmarks.workload import Case, Material, Size

Precision = Literal["float32", "bfloat16"]
LIMIT_FROM_BATCH = 8
LIMIT = 1.25
"""Of ours to the encoder alone, from that batch size on."""
LONGEST = 16_384
"""Words; longer documents are not tried."""


@dataclass(frozen=True)
class Asked:
    """What to measure."""

    device: torch.device
    sizes: tuple[Size, ...]
    batches: tuple[int, ...]
    precisions: tuple[Precision, ...]
    trials: tuple[int, ...]
    steps: int
    """That are timed together."""
    longest: int
    data: Path | None
    material: Material


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; without, all")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the JSON; without, gpu.json here")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu to try the benchmark out")
    parser.add_argument("--sizes", nargs="+", default=["base", "small"], choices=list(workload.SHAPES))
    parser.add_argument("--batches", nargs="+", type=_positive, default=[2, 8, 32])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--trials", nargs="+", type=_positive, default=[1, 2, 4, 8])
    parser.add_argument("--steps", type=_positive, default=20, help="steps that are timed together")
    parser.add_argument("--longest", type=_positive, default=LONGEST, metavar="WORDS", help="longer is not tried")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a data folder; without Re-DocRED the built-in corpus")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}, wanted some of {', '.join(BENCHMARKS)}")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error(f"torch {torch.__version__} sees no GPU; try the benchmark out with --device cpu --sizes tiny")
    out = given.out or Path("gpu.json")
    command.check_folder(parser, out, "--out")
    if given.data is not None and not given.data.is_dir():
        parser.error(f"there is no folder {given.data}, which --data names")
    material = workload.material(given.data)
    asked = Asked(
        torch.device(given.device), tuple(given.sizes), tuple(given.batches), tuple(given.precisions),
        tuple(sorted(set(given.trials))), given.steps, given.longest, given.data, material,
    )  # fmt: skip
    print(f"{_name(asked.device)}, torch {torch.__version__}, {material.source}", file=sys.stderr)
    lines: list[Line] = []
    for name in given.names or BENCHMARKS:
        for line in BENCHMARKS[name](asked):
            print(line, flush=True)
            lines.append(line)
        command.write(out, lines, device=_name(asked.device), documents=material.source, cuda=torch.version.cuda)
    print(f"written: {out}", file=sys.stderr)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"got {number}, wanted at least 1")
    return number


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


# --------------------------------------------------------------------------------------------------------------- speed


def speed(asked: Asked) -> Iterator[Line]:
    for size in asked.sizes:
        for pairs in ("MRC", "GRC"):
            net = workload.network(Case(size, pairs, True), asked.material.labels).to(asked.device)
            for precision in asked.precisions:
                for n in asked.batches:
                    what = f"{size} {pairs}, {precision}, batch {n}"
                    yield from _training(net, what, n, precision, asked)
                    yield from _inference(net, what, n, precision, asked)
            del net
            _forget(asked.device)


def _training(net: Network, what: str, n: int, precision: Precision, asked: Asked) -> Iterator[Line]:
    settings = TrainingSettings(batch_size=n, precision=precision)
    documents = _cycled(asked.material, n * asked.steps)
    training, alone = workload.Training(net, documents, settings), workload.EncoderTraining(net, settings)
    ready = list(_fed(training))
    whole = _seconds(lambda: [training.step(batch) for batch in _fed(training)], asked.device)
    ours = _seconds(lambda: [training.step(batch) for batch in ready], asked.device)
    of_encoder = [workload.padded(net, documents[i : i + n]) for i in range(0, len(documents), n)]
    limit = _seconds(lambda: [alone.step(windows) for windows in of_encoder], asked.device)
    yield Line(f"{what}: training", n * asked.steps / whole, "documents/s")
    yield Line(f"{what}: training, encoder alone", n * asked.steps / limit, "documents/s")
    yield _ratio(f"{what}: training to the encoder's", ours / limit, n)
    yield Line(f"{what}: making batches, not hidden behind training", whole / ours - 1, "", "at most 0.03", 0.03)
    busy = _busy(lambda: [training.step(batch) for batch in ready], asked.device)
    if busy is not None:
        yield Line(f"{what}: training, time in which the GPU computes", busy, "")


def _inference(net: Network, what: str, n: int, precision: Precision, asked: Asked) -> Iterator[Line]:
    net.eval()
    group = _cycled(asked.material, n)
    windows = workload.padded(net, group)
    settings = TrainingSettings(precision=precision)
    with torch.no_grad(), precision_of(net, settings), workload.finding_gold(net, group):
        ours = _seconds(lambda: [net.extract(group, at_once=n) for _ in range(asked.steps)], asked.device)
        limit = _seconds(
            lambda: [workload.encoded_by_transformer(net, one) for _ in range(asked.steps) for one in windows],
            asked.device,
        )
        busy = _busy(lambda: net.extract(group, at_once=n), asked.device)
    yield Line(f"{what}: inference", n * asked.steps / ours, "documents/s")
    yield Line(f"{what}: inference, encoder alone", n * asked.steps / limit, "documents/s")
    yield _ratio(f"{what}: inference to the encoder's", ours / limit, n)
    if busy is not None:
        yield Line(f"{what}: inference, time in which the GPU computes", busy, "")
    net.train()


def _ratio(name: str, value: float, n: int) -> Line:
    return Line(name, value, "", f"at most {LIMIT}", LIMIT) if n >= LIMIT_FROM_BATCH else Line(name, value, "")


def _cycled(material: Material, n: int) -> list[EncodedDocument]:
    documents = material.natural(min(n, len(material.documents)))
    return [documents[i % len(documents)] for i in range(n)]


def _fed(training: workload.Training) -> Iterator[batches.Batch]:
    net = training.network
    return feed(
        training.pools, training.settings, 1, 1,
        layout=net.encoder.layout, with_mention_pairs=net.joint.needs_mention_pairs, device=net.device,
    )  # fmt: skip


def _seconds(work: Callable[[], object], device: torch.device, rounds: int = 3) -> float:
    """The least of several, after one that does not count."""
    work()
    least = float("inf")
    for _ in range(rounds):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        least = min(least, time.perf_counter() - began)
    return least


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _busy(work: Callable[[], object], device: torch.device) -> float | None:
    """Share of the time in which a kernel runs."""
    if device.type != "cuda":
        return None
    _wait(device)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        began = time.perf_counter()
        work()
        _wait(device)
        took = time.perf_counter() - began
    return sum(event.self_device_time_total for event in seen.key_averages()) / 1e6 / took


# ------------------------------------------------------------------------------------------------------------ compiled


def compiled(asked: Asked) -> Iterator[Line]:
    """Training with the encoder as it is, and by `torch.compile` for any shape."""
    for size in asked.sizes:
        for precision in asked.precisions:
            yield from _compiled(size, precision, asked)
            _forget(asked.device)


def _compiled(size: Size, precision: Precision, asked: Asked) -> Iterator[Line]:
    n = max(asked.batches)
    net = workload.network(Case(size, "MRC", True), asked.material.labels).to(asked.device)
    settings = TrainingSettings(batch_size=n, precision=precision)
    training = workload.Training(net, _cycled(asked.material, n * asked.steps), settings)
    ready = list(_fed(training))
    plain = _seconds(lambda: [training.step(batch) for batch in ready], asked.device)
    began = time.perf_counter()
    try:
        net.encoder.transformer.compile(dynamic=True)
        training.step(ready[0])
    except Exception as error:  # a compiler may be missing, or not know this machine
        print(f"{size}, {precision}: torch.compile does not work here: {error!s:.200}", file=sys.stderr)
        return
    first = time.perf_counter() - began
    made = _seconds(lambda: [training.step(batch) for batch in ready], asked.device)
    what = f"{size} MRC, {precision}, batch {n}: training with a compiled encoder"
    yield Line(f"{what}, to as it is", made / plain, "")
    yield Line(f"{what}, first step", first, "s")


# -------------------------------------------------------------------------------------------------------------- length


def length(asked: Asked) -> Iterator[Line]:
    for size in asked.sizes:
        for kind, tried in (("training", _trains), ("inference", _extracts)):
            net = workload.network(Case(size, "MRC", True), asked.material.labels).to(asked.device)
            fits = _greatest(partial(tried, net, asked), asked.longest)
            goal = "the longest that was tried" if fits >= asked.longest else ""
            yield Line(f"{size} MRC, float32: longest document that fits, {kind}", fits, "words", goal)
            del net
            _forget(asked.device)


def _trains(net: Network, asked: Asked, words: int) -> None:
    training = workload.Training(net, asked.material.of_length(words, 1), TrainingSettings(batch_size=1))
    training.step(training.batch())
    _wait(asked.device)


def _extracts(net: Network, asked: Asked, words: int) -> None:
    documents = asked.material.of_length(words, 1)
    net.eval()
    with workload.finding_gold(net, documents):
        net.extract(documents)
    net.train()


def _greatest(tried: Callable[[int], None], longest: int) -> int:
    """Words, to an eighth."""

    def fits(words: int) -> bool:
        try:
            tried(words)
        except (torch.OutOfMemoryError, MemoryError):
            torch.cuda.empty_cache()
            return False
        return True

    good, bad = 0, min(128, longest)
    while fits(bad):
        good = bad
        if good == longest:
            return good
        bad = min(2 * good, longest)
    while bad - good > max(good / 8, 1):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


# -------------------------------------------------------------------------------------------------------- side by side


def side_by_side(asked: Asked) -> Iterator[Line]:
    size = asked.sizes[-1]
    precision = asked.precisions[-1]
    told = _told(asked, size, precision)
    way, rate_of = ("Ray", _by_ray) if find_spec("ray") is not None else ("processes", _by_processes)
    for mps in (False, True):
        with _mps(mps) as env:
            if env is None:
                if asked.device.type == "cuda":
                    print("CUDA MPS cannot be started here: measured without it only", file=sys.stderr)
                continue
            rates = {}
            for n in asked.trials:
                rates[n] = rate_of(n, told, env)
                what = f"{size} MRC, {precision}, batch 2, by {way}{', MPS' if mps else ''}: {n} trials"
                yield Line(f"{what} together", rates[n], "documents/s")
                if 1 in rates:
                    yield Line(f"{what}, to one", rates[n] / rates[1], "")


def _told(asked: Asked, size: Size, precision: Precision) -> dict[str, Any]:
    data = None if asked.data is None else str(asked.data.resolve())
    return {"device": asked.device.type, "size": size, "precision": precision, "steps": 5 * asked.steps, "data": data}


def trial(
    device: str, size: Size, precision: Precision, steps: int, data: str | None, ready: str, go: str
) -> dict[str, float]:
    """Training steps of a process of its own, all begun together: when they began and ended, and documents."""
    torch.set_num_threads(1)
    material = workload.material(None if data is None else Path(data))
    net = workload.network(Case(size, "MRC", True), material.labels).to(device)
    settings = TrainingSettings(precision=precision)
    training = workload.Training(net, _cycled(material, settings.batch_size * steps), settings)
    for batch in _fed(training):
        training.step(batch)
        break
    _wait(net.device)
    Path(ready).touch()
    while not Path(go).exists():
        time.sleep(0.01)
    began = time.time()
    for batch in _fed(training):
        training.step(batch)
    _wait(net.device)
    return {"began": began, "ended": time.time(), "documents": settings.batch_size * steps}


def _rate(told: Sequence[dict[str, float]]) -> float:
    took = max(one["ended"] for one in told) - min(one["began"] for one in told)
    return sum(one["documents"] for one in told) / took


_CHILD = "import json, sys; from tests.benchmarks.gpu import trial; print(json.dumps(trial(**json.loads(sys.argv[1]))))"


def _by_processes(n: int, told: dict[str, Any], env: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        go = Path(folder, "go")
        running = []
        for i in range(n):
            given = json.dumps({**told, "ready": str(Path(folder, f"ready-{i}")), "go": str(go)})
            running.append(
                subprocess.Popen([sys.executable, "-c", _CHILD, given], stdout=subprocess.PIPE, text=True,
                                 env={**os.environ, **env})
            )  # fmt: skip
        _all_ready(folder, n, lambda: all(one.poll() is None for one in running))
        go.touch()
        found = [one.communicate()[0] for one in running]
        if any(one.returncode for one in running):
            raise RuntimeError(f"of {n} trials side by side some ended with an error, told above")
        return _rate([json.loads(text.splitlines()[-1]) for text in found])


def _by_ray(n: int, told: dict[str, Any], env: dict[str, str]) -> float:
    import ray

    on_gpu = told["device"] == "cuda"
    root = str(Path(__file__).resolve().parents[2])
    ray.init(
        num_cpus=max(n, 1), num_gpus=1 if on_gpu else 0, include_dashboard=False, log_to_driver=False,
        logging_level="error", runtime_env={"env_vars": {**env, "PYTHONPATH": root}},
    )  # fmt: skip
    try:
        with tempfile.TemporaryDirectory() as folder:
            go = Path(folder, "go")
            task = ray.remote(num_cpus=1, num_gpus=1 / n if on_gpu else 0)(trial)
            running = [task.remote(**told, ready=str(Path(folder, f"ready-{i}")), go=str(go)) for i in range(n)]
            _all_ready(folder, n, lambda: not ray.wait(running, timeout=0)[0])
            go.touch()
            return _rate(ray.get(running))
    finally:
        ray.shutdown()


def _all_ready(folder: str, n: int, alive: Callable[[], bool]) -> None:
    while len(list(Path(folder).glob("ready-*"))) < n and alive():
        time.sleep(0.05)


@contextmanager
def _mps(wanted: bool) -> Iterator[dict[str, str] | None]:
    """The environment in which processes share the GPU by a server of our own; None where that cannot be."""
    if not wanted:
        yield {}
        return
    tool = shutil.which("nvidia-cuda-mps-control")
    if tool is None or not torch.cuda.is_available():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        env = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        started = subprocess.run([tool, "-d"], env={**os.environ, **env}, capture_output=True, check=False)
        if started.returncode:
            yield None
            return
        try:
            yield env
        finally:
            subprocess.run([tool], input="quit\n", text=True, env={**os.environ, **env}, check=False)


BENCHMARKS: dict[str, Callable[[Asked], Iterator[Line]]] = {
    "speed": speed,
    "compiled": compiled,
    "length": length,
    "side_by_side": side_by_side,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
