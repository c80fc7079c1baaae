"""What the network asks of the machine. That the kernel can do it, only a trial on that machine tells."""

import re
from pathlib import Path

from lab.path import preflight

SCRIPT = Path(__file__).resolve().parents[3] / "tools" / "install-system-packages"


def test_the_installer_knows_every_command_that_the_network_runs() -> None:
    installed = dict(re.findall(r"\[([a-z]+)\]=([a-z0-9-]+)", SCRIPT.read_text()))
    assert preflight.COMMANDS.items() <= installed.items()
