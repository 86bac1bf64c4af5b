"""The parser finds every block, and what a command printed is compared with sense."""

import pytest

from tests.support.manual.output import fits
from tests.support.manual.page import _blocks

PAGE = """\
# A page

```sh title="on first"
carpsidecar status
```

```text title="within three seconds"
master
```

- a list

    its text

      ```sh
      in a list
      ```

words

    indented | command

```yaml title="/etc/x.yaml on both"
vhid: 1
```
```
no language
```
"""


def test_every_block_is_found() -> None:
    found = [
        (one.line, one.language, one.title, one.text, one.follows_at_once)
        for one in _blocks("p", PAGE.splitlines())
    ]
    assert found == [
        (4, "sh", "on first", "carpsidecar status\n", False),
        (8, "text", "within three seconds", "master\n", True),
        (16, "sh", "", "in a list\n", False),
        (21, "", "", "indented | command\n", False),
        (24, "yaml", "/etc/x.yaml on both", "vhid: 1\n", True),
        (27, "", "", "no language\n", True),
    ]


@pytest.mark.parametrize(
    ("wanted", "printed"),
    [
        ("master since 3.2 s", "master   since 12 s\n"),
        ("2026-11-22 15:55:40 up", "2027-01-02T03:04:05.6+00:00 up"),
        ("a\n…\nd", "a\nb\nc\nd\n"),
        ("inet 192.0.2.100/32 …", "   inet 192.0.2.100/32 scope host eth0\n"),
        ("pid 17", "pid 4711"),
    ],
)
def test_what_differs_each_time_may_differ(wanted: str, printed: str) -> None:
    assert fits(wanted, printed)


@pytest.mark.parametrize(
    ("wanted", "printed"),
    [("master", "backup"), ("192.0.2.100", "192.0.2.101"), ("a", "a\nb"), ("a\nb", "a"), ("vhid 42", "vhid 43")],
)
def test_all_else_may_not(wanted: str, printed: str) -> None:
    assert not fits(wanted, printed)
