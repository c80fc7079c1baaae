"""polkit's part in `systemctl`: root may do all, others may ask, and may manage what a rule in /etc allows them.

Rules are JavaScript (polkit(8)). This stand-in understands the one form that names a user, a unit and a verb by `==`
and answers YES; any other rule allows nothing here.
"""

import pwd
import re
from pathlib import Path

RULES = Path("/etc/polkit-1/rules.d")
MANAGE_UNITS = "org.freedesktop.systemd1.manage-units"
READS = frozenset({"show", "list"})
_EQUALITY = re.compile(r'(action\.id|subject\.user|action\.lookup\("(?:unit|verb)"\))\s*===?\s*"([^"]*)"')


def allows(user_id: int, verb: str, units: list[str]) -> bool:
    """Return whether a user may have systemd do something.

    Args:
        user_id: Who asks.
        verb: What, in `systemctl`'s words.
        units: To which units, by their full names.
    """
    if user_id == 0 or verb in READS:
        return True
    try:
        user = pwd.getpwuid(user_id).pw_name
    except KeyError:
        return False
    rules = [rule for path in sorted(RULES.glob("*.rules")) for rule in _read(path)]
    return bool(units) and all(
        {
            "action.id": MANAGE_UNITS,
            "subject.user": user,
            'action.lookup("unit")': unit,
            'action.lookup("verb")': verb,
        }
        in rules
        for unit in units
    )


def _read(path: Path) -> list[dict[str, str]]:
    blocks = path.read_text(encoding="utf-8").split("polkit.addRule(")[1:]
    return [dict(_EQUALITY.findall(text)) for text in blocks if "polkit.Result.YES" in text and "||" not in text]
