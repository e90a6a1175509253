"""Signatures by SSH keys (`ssh-keygen -Y`), as git signs commits. Refuses a key that is none, and a machine without
`ssh-keygen`."""

import base64
import hashlib
import os
import subprocess
import tempfile

from ...corpus.store.errors import RequestError

NAMESPACE, NAME = "gristmill", "gristmill"
MAGIC = b"SSHSIG"


def sign(path: str, key: str) -> None:
    """Write PATH.sig, by a private key, or by a public one whose private key an agent holds."""
    if not os.path.isfile(os.path.expanduser(key)):
        raise RequestError(f"--sign {key}: no such file; name an SSH key, such as ~/.ssh/id_ed25519")
    done = _run(["-Y", "sign", "-q", "-f", os.path.expanduser(key), "-n", NAMESPACE, path])
    if done.returncode:
        raise RequestError(f"--sign {key}: {_said(done)}")


def verified(path: str, signature: str, signer: str | None) -> list[str]:
    """What is wrong with a signature of a file: by the key in the public key file `signer`, or by any key at all."""
    with open(path, "rb") as file:
        data = file.read()
    if signer is None:
        done = _run(["-Y", "check-novalidate", "-n", NAMESPACE, "-s", signature], data)
        return [f"the signature of the head does not verify: {_said(done)}"] if done.returncode else []
    try:
        with open(os.path.expanduser(signer), encoding="utf-8") as file:
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--signer {signer} cannot be read: {error}") from error
    if not key.startswith(("ssh-", "ecdsa-", "sk-")):
        raise RequestError(f"--signer {signer} is no public SSH key: it begins with ssh-ed25519 or the like")
    with tempfile.TemporaryDirectory() as folder:
        allowed = os.path.join(folder, "allowed")
        with open(allowed, "w", encoding="utf-8") as file:
            file.write(f'{NAME} namespaces="{NAMESPACE}" {key}\n')
        done = _run(["-Y", "verify", "-f", allowed, "-I", NAME, "-n", NAMESPACE, "-s", signature], data)
    return [f"the head of the log is not signed by {signer}: {_said(done)}"] if done.returncode else []


def signer_of(signature: str) -> bytes:
    """The public key that a signature names (PROTOCOL.sshsig: magic, version, key, ...)."""
    with open(signature, encoding="ascii") as file:
        lines = [line.strip() for line in file if not line.startswith("-----")]
    data = base64.b64decode("".join(lines))
    if not data.startswith(MAGIC):
        return b""
    length = int.from_bytes(data[10:14], "big")
    return data[14 : 14 + length]


def fingerprint_of(key: bytes) -> str:
    """SHA256:... of a public key, as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _run(arguments: list[str], data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise RequestError("signatures need ssh-keygen (OpenSSH 8.1 or later), which is not on this machine") from error


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    return " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())[:200] or f"exit {done.returncode}"
