import math

import torch

from wsscli.losses.squared_softmax import squared_softmax


def test_by_hand():
    # softmax 1/4, 3/4 against 1, 0; then 1/2, 1/2 against 1/2, 1/2 shared by two labels
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    expected = ((3 / 4) ** 2 + (3 / 4) ** 2 + 0) / 2
    assert math.isclose(squared_softmax(logits, labels).item(), expected, rel_tol=1e-12)


def test_an_image_without_classes_says_nothing_but_counts():
    logits = torch.tensor([[0.0, math.log(3)], [5.0, 0.0]], requires_grad=True)
    loss = squared_softmax(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert math.isclose(loss.item(), 9 / 16, rel_tol=1e-6)
    loss.backward()
    assert logits.grad[1].abs().max() == 0 and logits.grad[0].abs().min() > 0


def test_gradcheck():
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: squared_softmax(x, labels), (logits,))
