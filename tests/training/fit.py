"""The loop: Adam on a falling rate, straight-through gradients, a teacher's answers beside the labels."""

from collections.abc import Callable
from time import perf_counter

import torch
import torch.nn.functional as functional
from torch import nn

from .images import Images, augmented

BATCH = 100
TEMPERATURE = 3.0  # softens the teacher's answers
TEACHING = 0.7  # of the loss; the rest is the labels'


def fit(
    network: nn.Module,
    data: Images,
    *,
    epochs: int,
    rate: float,
    seconds: float,
    seed: int,
    teacher: nn.Module | None = None,
    mirror: bool = False,
    tell: Callable[[str], None] = print,
) -> None:
    """Trains for `epochs`, or for as many of them as `seconds` let; the rate falls to 0 either way."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    begin = perf_counter()
    steps = len(data) // BATCH
    for epoch in range(epochs):
        network.train()
        order = torch.randperm(len(data), generator=generator)
        total = 0.0
        for step in range(steps):
            progress = max((epoch + step / steps) / epochs, (perf_counter() - begin) / seconds)
            if progress >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, 1.25 * (1 - progress))
            chosen = order[step * BATCH : (step + 1) * BATCH]
            images, labels = augmented(data.images[chosen], generator, mirror=mirror), data.labels[chosen]
            answers = _tensor(network(images))
            loss = functional.cross_entropy(answers, labels)
            if teacher is not None:
                with torch.no_grad():
                    taught = functional.softmax(teacher(images) / TEMPERATURE, 1)
                apart = functional.kl_div(functional.log_softmax(answers / TEMPERATURE, 1), taught, reduction="batchmean")
                loss = (1 - TEACHING) * loss + TEACHING * TEMPERATURE**2 * apart
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach())
        tell(f"epoch {epoch + 1}: loss {total / steps:.4f}, {perf_counter() - begin:.0f} s")
        if perf_counter() - begin >= seconds:
            break
    network.eval()


def accuracy(network: nn.Module, data: Images) -> float:
    """Share of the images whose greatest answer is the right one."""
    network.eval()
    right = 0
    with torch.no_grad():
        for first in range(0, len(data), 500):
            part = slice(first, first + 500)
            right += int((_tensor(network(data.images[part])).argmax(1) == data.labels[part]).sum())
    return right / len(data)


def _tensor(answers: torch.Tensor) -> torch.Tensor:
    """The real values of what Brevitas may have wrapped."""
    value = getattr(answers, "value", answers)
    assert isinstance(value, torch.Tensor)
    return value
