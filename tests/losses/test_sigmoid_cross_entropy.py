import math

import torch

from wsscli.losses.sigmoid_cross_entropy import sigmoid_cross_entropy


def test_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    first = math.log(2) + math.log(4)  # sigmoid(ln 3) = 3/4, the class is not there
    second = math.log(4 / 3) + math.log(2)
    assert math.isclose(sigmoid_cross_entropy(logits, labels).item(), (first + second) / 2, rel_tol=1e-6)


def test_gradcheck():
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.eye(4, dtype=torch.float64)[:3]
    assert torch.autograd.gradcheck(lambda x: sigmoid_cross_entropy(x, labels), (logits,))
