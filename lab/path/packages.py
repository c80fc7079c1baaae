"""Files of distribution packages that must not be installed on a build machine: fetched, unpacked and kept in a cache.

``openvpn-systemd-resolved`` is needed for its one script, and installing it would pull in systemd-resolved, which
takes over the machine's own name resolution; ``libfaketime`` gives one device a wrong clock.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.errors import LabError
from lab.state import cache_home


def unpacked(package: str) -> Path:
    """Return the folder with the files of a package, fetching it the first time.

    Args:
        package: Debian's name, such as ``openvpn-systemd-resolved``.

    Raises:
        LabError: It cannot be fetched or unpacked.
    """
    target = cache_home() / "packages" / package
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{package}.") as temporary:
        _run(["apt-get", "download", "--quiet", package], package, temporary)
        archives = list(Path(temporary).glob("*.deb"))
        if len(archives) != 1:
            raise LabError(f"`apt-get download {package}` left {len(archives)} packages: try it by hand")
        _run(["dpkg", "-x", str(archives[0]), f"{temporary}/files"], package, temporary)
        try:
            Path(temporary, "files").rename(target)
        except OSError:
            # Another lab was faster; its copy is as good.
            if not target.is_dir():
                raise
    return target


def update_systemd_resolved() -> Path:
    """Return the distribution's own ``update-systemd-resolved``.

    An installed one counts before one that has to be fetched.

    Raises:
        LabError: It is neither installed nor can it be fetched.
    """
    installed = Path("/etc/openvpn/update-systemd-resolved")
    if installed.is_file():
        return installed
    return unpacked("openvpn-systemd-resolved") / "etc/openvpn/update-systemd-resolved"


def libfaketime() -> Path:
    """Return the library that gives a program another clock.

    Raises:
        LabError: It is neither installed nor can it be fetched.
    """
    roots = [Path("/"), *([cached] if (cached := cache_home() / "packages" / "libfaketime").is_dir() else [])]
    for root in (*roots, None):
        folder = (root or unpacked("libfaketime")) / "usr/lib"
        found = sorted(folder.glob("*/faketime/libfaketimeMT.so.1"))
        if found:
            return found[0]
    raise LabError("the package libfaketime has no libfaketimeMT.so.1 below /usr/lib")


def _run(argv: list[str], package: str, directory: str) -> None:
    if shutil.which(argv[0]) is None:
        raise LabError(
            f"{argv[0]} is needed to unpack {package}, whose files the lab uses: install apt and dpkg, or {package}"
        )
    result = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
    if result.returncode != 0:
        raise LabError(f"`{' '.join(argv)}` failed: {result.stderr.strip()}; run `apt-get update` and try again")
