"""The runner runs what a page says, and notices what does not come out as the page says."""

from collections.abc import Iterator

import pytest

from carpsidecar.lab.namespace import has_privileges
from carpsidecar.lab.network import Lab
from tests.support.manual.machine import Machine
from tests.support.manual.page import _blocks
from tests.support.manual.runner import Runner


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    if not has_privileges():
        pytest.skip("needs network namespaces: run `sudo make test`")
    with Lab() as lab:
        yield Runner([Machine(lab, "first", [["192.0.2.11/24"]]), Machine(lab, "second", [["192.0.2.12/24"]])])


def run(runner: Runner, page: str) -> None:
    runner.run(_blocks("page.md", page.splitlines()))


GOOD = """\
```text title="/etc/carpsidecar/greeting on both"
hello
```
```sh title="on first"
echo from first >>/etc/carpsidecar/greeting
```
```sh title="on first"
cat /etc/carpsidecar/greeting; hostname; ip -brief address show dev eth0
```
```text
hello
from first
first
eth0… UP 192.0.2.11/24 …
```
```sh title="on second"
cat /etc/carpsidecar/greeting
```
```text
hello
```
```sh title="on first, and leave it running"
sleep 1; touch /run/after-a-while; sleep 60
```
```sh title="on first"
ls /run/after-a-while
```
```text title="after a second"
/run/after-a-while
```
"""


def test_each_block_runs_where_the_page_says(runner: Runner) -> None:
    run(runner, GOOD)
    assert [len(left) for left in runner.left_running.values()] == [1, 0]


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ('```sh title="on first"\nfalse\n```\n', "exit status 1"),
        ('```sh title="on first"\nfalse\ntrue\n```\n', "exit status 1"),
        ('```sh title="on first"\necho hello\n```\n\n```text\nhallo\n```\n', "the page says"),
        ('```sh title="on third"\ntrue\n```\n', "no machine of that name"),
        ("```sh\ntrue\n```\n", "say where it runs"),
        ('```python title="on first"\npass\n```\n', "can't tell what it is"),
    ],
)
def test_what_goes_wrong_is_noticed(runner: Runner, page: str, error: str) -> None:
    with pytest.raises(AssertionError, match=error):
        run(runner, page)
