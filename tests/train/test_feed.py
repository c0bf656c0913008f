import threading
import time

import pytest

from wsscli.errors import WssError
from wsscli.train.feed import Order, ahead


def test_ahead_is_map_in_order():
    def work(i):
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(ahead(work, range(30), workers=4, depth=8)) == [i * i for i in range(30)]
    assert list(ahead(work, [], workers=2, depth=4)) == []


def test_ahead_prepares_no_more_than_depth():
    begun = []
    results = ahead(begun.append, range(100), workers=2, depth=5)
    next(results)
    time.sleep(0.05)
    assert len(begun) <= 6
    results.close()


def test_ahead_raises_where_the_result_would_have_come():
    def work(i):
        if i == 3:
            raise WssError("image 3 is damaged")
        return i

    results = ahead(work, range(10), workers=2, depth=6)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(WssError, match="image 3 is damaged"):
        next(results)
    assert not [t for t in threading.enumerate() if t.name.startswith("wss-feed")]


def test_order_goes_through_all_samples_each_epoch():
    order = Order(7, 3, seed=1)
    stream = [key for iteration in range(7) for key in order.batch(iteration)]
    assert [epoch for epoch, _ in stream] == [0] * 7 + [1] * 7 + [2] * 7
    for epoch in range(3):
        assert sorted(index for e, index in stream if e == epoch) == list(range(7))
    assert [i for _, i in stream[:7]] != [i for _, i in stream[7:14]]


def test_order_at_any_iteration_needs_no_history():
    order = Order(10, 4, seed=5)
    batches = [order.batch(i) for i in range(12)]
    assert [Order(10, 4, seed=5).batch(i) for i in reversed(range(12))] == batches[::-1]
    assert Order(10, 4, seed=6).batch(0) != batches[0]


def test_order_with_more_images_a_batch_than_there_are():
    assert sorted(Order(2, 5, seed=0).batch(0)) == [(0, 0), (0, 1), (1, 0), (1, 1), Order(2, 5, seed=0).batch(0)[4]]
    assert Order(2, 5, seed=0).epochs_done(1) == 2
