"""Tests that wait for real seconds, each in a lab of its own, run at the same time: `@pytest.mark.at_once`.

The first of a module starts all of them in threads, and each then tells its own result. Their arguments are
parameters, never fixtures. `CARP_TESTS_AT_ONCE=1` runs them one by one.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

pytest.register_assert_rewrite("tests.support.peers")

AT_ONCE = int(os.environ.get("CARP_TESTS_AT_ONCE", "12"))
_futures = pytest.StashKey[dict[str, "Future[None]"]]()
_pool = pytest.StashKey[ThreadPoolExecutor]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "at_once: runs in a thread beside the others of its module")
    config.stash[_futures] = {}
    config.stash[_pool] = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="test")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_pool].shutdown(cancel_futures=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if pyfuncitem.get_closest_marker("at_once") is None:
        return None
    futures = pyfuncitem.config.stash[_futures]
    if pyfuncitem.nodeid not in futures:
        for item in pyfuncitem.session.items:
            if isinstance(item, pytest.Function) and _is_its_companion(item, pyfuncitem):
                futures[item.nodeid] = pyfuncitem.config.stash[_pool].submit(item.obj, **_parameters(item))
    futures[pyfuncitem.nodeid].result()
    return True


def _is_its_companion(item: pytest.Function, first: pytest.Function) -> bool:
    skipped = any(all(marker.args) for marker in item.iter_markers("skipif"))
    return item.module is first.module and item.get_closest_marker("at_once") is not None and not skipped


def _parameters(item: pytest.Function) -> dict[str, object]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}
