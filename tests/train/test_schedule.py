import pytest
import torch

from wsscli.train.schedule import one_cycle, poly, rate, step


@pytest.mark.parametrize("total", [5, 37, 100, 1000])
def test_one_cycle_equals_torch(total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=total, pct_start=0.25, cycle_momentum=False)
    for iteration in range(total):
        assert one_cycle(iteration, total) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        if iteration + 1 < total:
            cycle.step()


@pytest.mark.parametrize("total", [1, 2, 3])
def test_one_cycle_of_few_iterations_is_positive(total):
    assert all(0 < one_cycle(i, total) <= 1 for i in range(total))


def test_poly():
    assert poly(0, 10) == 1.0
    assert poly(5, 10) == pytest.approx(0.5**0.9)
    assert poly(9, 10) > 0


def test_step():
    assert [step(i, every=2, factor=0.1) for i in (0, 1, 2, 3, 4)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_rate_by_name():
    assert rate("one-cycle", 3, 10) == one_cycle(3, 10)
    assert rate("poly", 3, 10) == poly(3, 10)
    assert rate("step", 5, 10, every=5, factor=0.33) == pytest.approx(0.33)
    assert rate("constant", 3, 10) == 1.0
