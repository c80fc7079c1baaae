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
    """Return the library that gives a program another wall clock.

    Its ``clock_nanosleep`` takes a moment of the monotonic clock for one of the wall clock, so that Python's
    `time.sleep` fails (seen with 0.9.10); the copy that is returned leaves that function to libc.

    Raises:
        LabError: It cannot be fetched, or is of a form that is not known here.
    """
    libraries = sorted(unpacked("libfaketime").glob("usr/lib/*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise LabError("the package libfaketime has no libfaketimeMT.so.1 below /usr/lib")
    content = libraries[0].read_bytes()
    # The first one is the name under which the dynamic linker finds it; the second is what it asks libc for.
    exported = b"\0clock_nanosleep\0"
    if content.count(exported) != 2:
        raise LabError(f"{libraries[0]} has another form than libfaketime 0.9: a skewed clock needs that version")
    copy = cache_home() / "packages" / "libfaketime-wall-clock.so"
    with tempfile.NamedTemporaryFile(dir=copy.parent, delete=False) as temporary:
        temporary.write(content.replace(exported, b"\0_lock_nanosleep\0", 1))
    Path(temporary.name).chmod(0o644)
    Path(temporary.name).replace(copy)
    return copy


def _run(argv: list[str], package: str, directory: str) -> None:
    if shutil.which(argv[0]) is None:
        raise LabError(
            f"{argv[0]} is needed to unpack {package}, whose files the lab uses: install apt and dpkg, or {package}"
        )
    result = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False, timeout=120)
    if result.returncode != 0:
        raise LabError(f"`{' '.join(argv)}` failed: {result.stderr.strip()}; run `apt-get update` and try again")
