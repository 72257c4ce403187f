"""The losses match the papers, and a run writes its checkpoint and weights."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def test_lovasz_of_hard_predictions_is_one_minus_iou() -> None:
    from camvid.losses import lovasz_softmax

    truth = torch.tensor([[[0, 0, 1, 1], [2, 2, 2, 11]]])
    guess = torch.tensor([[[0, 1, 1, 1], [2, 0, 2, 5]]])
    logits = 50.0 * torch.nn.functional.one_hot(guess, 11).movedim(-1, 1).float()
    iou = torch.tensor([1 / 3, 2 / 3, 2 / 3])
    assert lovasz_softmax(logits, truth).item() == pytest.approx(1 - iou.mean().item(), abs=1e-5)


def test_lovasz_descends() -> None:
    from camvid.losses import lovasz_softmax

    torch.manual_seed(0)
    truth = torch.randint(0, 11, (2, 8, 8))
    logits = torch.zeros(2, 11, 8, 8, requires_grad=True)
    before = lovasz_softmax(logits, truth)
    (gradient,) = torch.autograd.grad(before, logits)
    assert lovasz_softmax(logits - 500 * gradient, truth) < before


def test_rate_rises_and_falls_to_nearly_zero() -> None:
    from camvid.train import rate

    rates = [rate(p, 1.0) for p in np.linspace(0, 1, 200)]
    assert rates[0] < 0.1
    assert max(rates) > 0.9
    assert rates[-1] < 0.01


@pytest.mark.slow
def test_a_run_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    from click.testing import CliRunner
    from PIL import Image

    from camvid.scenes import render
    from camvid.train import main

    for folder, index in (("train", 0), ("trainannot", 1)):
        (tmp_path / folder).mkdir()
        for seed in range(2):
            picture = Image.fromarray(render(seed, (96, 72))[index])
            picture.save(tmp_path / folder / f"{seed}.png")
    arguments = [str(tmp_path), str(tmp_path / "out"), "--split", "train", "--workers", "0",
                 "--batch", "2", "--crop", "64", "48", "--device", "cpu"]  # fmt: skip
    for steps in (1, 2):
        result = CliRunner().invoke(main, [*arguments, "--steps", str(steps)])
        assert result.exit_code == 0, result.output
    state = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    assert (tmp_path / "out" / "weights.npz").exists()
