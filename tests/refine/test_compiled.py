import pytest

from wsscli.refine import compiled as module
from wsscli.refine.compiled import compiled


def add(a, b):
    return a + b


def test_compiles():
    assert compiled(add)(2, 3) == 5


def test_without_a_place_for_the_cache_it_compiles_all_the_same(monkeypatch):
    asked = []

    def njit(**options):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'add': no locator available for file")  # numba's words
        return lambda function: function

    monkeypatch.setattr(module, "njit", njit)
    assert compiled(add)(2, 3) == 5
    assert asked == [{"nogil": True, "cache": True}, {"nogil": True}]


def test_other_errors_are_not_hidden(monkeypatch):
    def njit(**options):
        raise TypeError("something else")

    monkeypatch.setattr(module, "njit", njit)
    with pytest.raises(TypeError, match="something else"):
        compiled(add)
