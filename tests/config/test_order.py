"""Long tests run first."""

from pathlib import Path

from tests import order


def test_long_files_come_first_and_tests_stay_together(monkeypatch):
    monkeypatch.setattr(order, "LONG", ("browser", "test_long.py"))
    names = [
        "a/test_a.py",
        "test_long.py",
        "test_long.py",
        "browser/test_z.py",
        "a/test_b.py",
        "browser/test_y.py",
    ]
    assert order.long_first([order.TESTS / name for name in names]) == [3, 5, 1, 2, 0, 4]


def test_each_named_file_is_there_and_the_order_is_used(request):
    assert [name for name in order.LONG if not (order.TESTS / name).exists()] == []
    used = request.config.hook.pytest_collection_modifyitems.get_hookimpls()
    assert order.pytest_collection_modifyitems in [one.function for one in used]
    assert Path(request.node.path).is_relative_to(order.TESTS)
