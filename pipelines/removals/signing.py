"""Signatures by SSH keys (`ssh-keygen -Y`, as git signs commits) or by minisign keys; the key's file tells which.

A signature by an SSH key bears the key, so that it can be held against the file by itself; one by minisign bears the
key's id alone, and says nothing before the key is named. Refuses a key that is neither, and a machine without the
program that the key asks for.
"""

import base64
import hashlib
import os
import subprocess
import tempfile

from ...corpus.store.errors import RequestError

NAMESPACE, NAME = "gristmill", "gristmill"
SSH, COMMENT = "ssh-keygen", "untrusted comment:"  # what files of minisign begin with
MAGIC = b"SSHSIG"
Done = subprocess.CompletedProcess[bytes]


def sign(path: str, key: str) -> None:
    """Write PATH.sig, by a private key, or by a public SSH one whose private key an agent holds."""
    place = os.path.expanduser(key)
    if not os.path.isfile(place):
        raise RequestError(f"--sign {key}: no such file; name an SSH key, such as ~/.ssh/id_ed25519, or a minisign key")
    if is_minisign(place):
        _sign_minisign(path, place, key)
        return
    done = _run(SSH, ["-Y", "sign", "-q", "-f", place, "-n", NAMESPACE, path])
    if done.returncode:
        raise RequestError(f"--sign {key}: {_said(done)}")


def _sign_minisign(path: str, place: str, key: str) -> None:
    """minisign asks for the password of its key by itself; all that it prints goes to standard error."""
    try:
        done = subprocess.run(
            ["minisign", "-S", "-s", place, "-m", path, "-x", f"{path}.sig", "-t", NAMESPACE], stdout=2, check=False
        )
    except FileNotFoundError as error:
        raise _without("minisign") from error
    if done.returncode:
        raise RequestError(f"--sign {key}: minisign did not sign with it and ended with {done.returncode}")


def verified(path: str, signature: str, signer: str | None) -> list[str]:
    """What is wrong with a signature of a file: by the key in the public key file `signer`, or by any key at all."""
    own = is_minisign(signature)
    if signer is None:
        return _unnamed(path, signature, own)
    place = os.path.expanduser(signer)
    try:
        with open(place, encoding="utf-8") as file:
            key = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"--signer {signer} cannot be read: {error}") from error
    ssh = key.startswith(("ssh-", "ecdsa-", "sk-"))
    if not ssh and not key.startswith(COMMENT):
        raise RequestError(
            f"--signer {signer} is no public key: one of SSH begins with ssh-ed25519 or the like, one of minisign with "
            f"`{COMMENT}`"
        )
    if ssh == own:
        return [f"the head of the log is signed by {'a minisign' if own else 'an SSH'} key, not by {signer}"]
    done = _by_minisign(path, signature, place) if own else _by_ssh(path, signature, key)
    return [f"the head of the log is not signed by {signer}: {_said(done)}"] if done.returncode else []


def _unnamed(path: str, signature: str, minisign: bool) -> list[str]:
    if minisign:
        return [
            f"the head is signed by the minisign key {name_of(signature)}; name the public key with --signer, without "
            "which it cannot be verified"
        ]
    with open(path, "rb") as file:
        data = file.read()
    done = _run(SSH, ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", signature], data)
    return [f"the signature of the head does not verify: {_said(done)}"] if done.returncode else []


def _by_ssh(path: str, signature: str, key: str) -> Done:
    with open(path, "rb") as file, tempfile.TemporaryDirectory() as folder:
        allowed = os.path.join(folder, "allowed")
        with open(allowed, "w", encoding="utf-8") as told:
            told.write(f'{NAME} namespaces="{NAMESPACE}" {key}\n')
        return _run(SSH, ["-Y", "verify", "-f", allowed, "-I", NAME, "-n", NAMESPACE, "-s", signature], file.read())


def _by_minisign(path: str, signature: str, place: str) -> Done:
    return _run("minisign", ["-V", "-q", "-p", place, "-m", path, "-x", signature])


def is_minisign(path: str) -> bool:
    """Whether a key or a signature is one of minisign."""
    with open(path, "rb") as file:
        return file.read(len(COMMENT)) == COMMENT.encode()


def name_of(signature: str) -> str:
    """What names the key of a signature: `SHA256:...` of an SSH key, as `ssh-keygen -l` prints it, up to 16
    digits of a minisign key, as in its public key's file (zeros in front are left out there)."""
    if not is_minisign(signature):
        return fingerprint_of(signer_of(signature))
    with open(signature, encoding="utf-8", errors="replace") as file:
        data = base64.b64decode([*file, "", ""][1])
    return f"{int.from_bytes(data[2:10], 'little'):X}"  # 2 bytes of algorithm, 8 of id, the signature


def signer_of(signature: str) -> bytes:
    """The public SSH key that a signature names (PROTOCOL.sshsig: magic, version, key, ...)."""
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


def _run(program: str, arguments: list[str], data: bytes = b"") -> Done:
    try:
        return subprocess.run([program, *arguments], input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise _without(program) from error


def _without(program: str) -> RequestError:
    named = "ssh-keygen (OpenSSH 8.1 or later)" if program == SSH else program
    return RequestError(f"this signature needs {named}, which is not on this machine")


def _said(done: Done) -> str:
    return " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())[:200] or f"exit {done.returncode}"
