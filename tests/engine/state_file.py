"""What a file backend has of a stack, without the half second of a `pulumi stack export` or `output`.

The commands themselves are used where a test is about them. Source of the forms: pulumi/pulumi,
``sdk/go/common/resource/config/crypt.go`` (`symmetricCrypter`) and ``sdk/go/common/resource/sig`` (`Secret`).
"""

import base64
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lab.engine.program import PASSPHRASE

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_ITERATIONS = 1_000_000


def deployment(backend: Path, stack: str) -> dict[str, Any]:
    """Return the deployment as the backend has it, secrets encrypted; empty before the first update."""
    (file,) = backend.glob(f".pulumi/stacks/*/{stack}.json")
    latest: dict[str, Any] = json.loads(file.read_text())["checkpoint"].get("latest") or {}
    return latest


def outputs(latest: dict[str, Any], *, show_secrets: bool) -> dict[str, Any]:
    """Return the stack's outputs, secrets in clear or as ``[secret]``."""
    stacks = [each for each in latest.get("resources", []) if each["type"] == "pulumi:pulumi:Stack"]
    found: dict[str, Any] = stacks[0].get("outputs", {}) if stacks else {}
    key = _key(latest["secrets_providers"]["state"]["salt"]) if show_secrets else None
    return {name: _clear(value, key) for name, value in found.items()}


def _clear(value: Any, key: AESGCM | None) -> Any:
    if isinstance(value, list):
        return [_clear(each, key) for each in value]
    if not isinstance(value, dict):
        return value
    if _SIGNATURE not in value:
        return {name: _clear(each, key) for name, each in value.items()}
    if key is None:
        return "[secret]"
    nonce, sealed = (base64.b64decode(part) for part in value["ciphertext"].split(":")[1:])
    return _clear(json.loads(key.decrypt(nonce, sealed, None)), key)


@functools.cache
def _key(salt: str) -> AESGCM:
    _, encoded, *_ = salt.split(":")
    return AESGCM(hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), base64.b64decode(encoded), _ITERATIONS))
