"""Trains a network and writes its .onnx file; prints how well it does. See `--help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from celosia.host.files import write_whole
from celosia.sim.errors import CelosiaError

from .export import export, export_float
from .fit import accuracy, fit
from .images import Images, digits, load
from .networks import FEW, FLOAT, NETWORKS, cnnf, teacher
from .norms import begin_as, settle


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains, judges, writes; 0 where that went well."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except CelosiaError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    data, judges = _data(options)
    _, channels, side, _ = data.images.shape
    guide = _teacher(options, data, judges, side) if options.teacher_epochs and channels == 1 else None
    network = NETWORKS[options.network](side)
    if options.network in FEW and guide is not None:
        begin_as(network, guide)
    fit(
        network,
        data,
        epochs=options.epochs,
        rate=options.rate,
        seconds=options.seconds,
        seed=options.seed,
        teacher=guide,
        mirror=channels == 3,
    )
    if options.network in FEW:
        print(f"before its offsets and factors are rounded: {accuracy(network, judges):.2%}")
        settle(network)
    print(f"{options.network}: {accuracy(network, judges):.2%} of {len(judges)} images")
    exporter = export_float if options.network in FLOAT else export
    model = exporter(network, (1, channels, side, side), options.network)
    write_whole(options.out, model)
    print(f"{options.out}: {len(model):,} bytes")
    return 0


def _teacher(options: argparse.Namespace, data: Images, judges: Images, side: int) -> torch.nn.Sequential:
    """Trained, or as an earlier run left it."""
    guide = (cnnf if options.network in FEW else teacher)(side)
    if options.teacher is not None and options.teacher.exists():
        guide.load_state_dict(torch.load(options.teacher))
        guide.eval()
        return guide
    fit(guide, data, epochs=options.teacher_epochs, rate=2e-3, seconds=options.seconds, seed=options.seed)
    print(f"teacher: {accuracy(guide, judges):.2%} of {len(judges)} images")
    if options.teacher is not None:
        torch.save(guide.state_dict(), options.teacher)
    return guide


def _data(options: argparse.Namespace) -> tuple[Images, Images]:
    if options.data is None:
        return digits()
    data = load(options.data)
    if options.test is not None:
        return data, load(options.test)
    part = len(data) * 9 // 10
    return (
        Images(images=data.images[:part], labels=data.labels[:part]),
        Images(images=data.images[part:], labels=data.labels[part:]),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.training", description=__doc__)
    parser.add_argument("network", choices=sorted(NETWORKS))
    parser.add_argument("--data", type=Path, help=".npz of images and labels to learn from (default: scikit-learn's digits)")
    parser.add_argument("--test", type=Path, help=".npz to judge by (default: a tenth of the data)")
    parser.add_argument("--out", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--teacher-epochs",
        type=int,
        default=8,
        help="of the floating-point teacher, as which cnn8, cnn4, cnn2 and cnnt begin; 0: none",
    )
    parser.add_argument("--teacher", type=Path, help="file that keeps the teacher for the next network")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seconds", type=float, default=600, help="at most, and as many for the teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
