"""The files of certificate authorities that the environment names in place of the system's."""

import os
import ssl
from typing import Final

UNKNOWN: Final = (18, 19, 20, 21)
"""OpenSSL's verification errors for a certificate that comes from no authority that is trusted."""


def cure() -> str:
    """The variable to correct, since it names what cannot be used; "": none. OpenSSL does not say so, and trusts fewer servers."""
    if error := _flaw_of_file(os.environ.get("SSL_CERT_FILE", "")):
        return f"correct SSL_CERT_FILE, which names a file that {error}"
    folders = os.environ.get("SSL_CERT_DIR", "")
    if folders and not any(map(os.path.isdir, folders.split(os.pathsep))):
        return "correct SSL_CERT_DIR, which names no folder that is there"
    return ""


def _flaw_of_file(path: str) -> str:
    if not path:
        return ""
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        return "has no certificates"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""
