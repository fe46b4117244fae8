"""Access control of a shared server: login, password, read-only mode, refusal of paths.

Set by the operator through environment variables or Streamlit's ``secrets.toml`` (docs/shared_server.md):

- ``ENCODING_PASSWORD_HASH``: one password for everybody. ``python -m pages.parts.shared.access`` makes the hash.
- ``[auth]`` in ``secrets.toml``: login with an OIDC provider, through Streamlit. ``ENCODING_ALLOWED`` lists who is let in.
- ``ENCODING_READ_ONLY``: users can look at results; nothing is computed, downloaded, removed or written.
- ``ENCODING_SHARED``: file paths typed in a page or contained in a link are refused, and only its owner cancels a job.
- ``ENCODING_OPERATORS``: e-mail addresses of those who may cancel every job, where people log in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from getpass import getpass
from itertools import cycle
from typing import Any

import streamlit as st

from pages.parts.shared.text import plain

NO = ("", "0", "false", "no", "off")  # how a switch is off
SCRYPT = {"n": 2**15, "r": 8, "p": 1}  # 32 MiB and about 0.1 s a try
MOST_MEMORY = 2**26  # bytes that a hash may take to check
MOST_CHARACTERS = 1_024  # of a password
FREE_TRIES = 20  # wrong ones on the whole server before everybody waits
LONGEST_WAIT = {"session": 60.0, "server": 5.0}  # seconds; short for the server, or anybody could lock all others out
BROWSER_COOKIE = "_streamlit_xsrf"
FORGOTTEN_AFTER = 300.0  # seconds without a wrong try


class ReadOnly(PermissionError):
    """Raised where something would be changed on a read-only server."""


class PathRefused(ValueError):
    """Raised where a path is entered on a server that opens none; the message names what works."""


def may_change() -> bool:
    """Whether people may compute, fetch, remove or write anything here; false where ``ENCODING_READ_ONLY`` is set."""
    return not _is_on("ENCODING_READ_ONLY")


def is_shared() -> bool:
    """Whether paths that people type are refused: ``ENCODING_SHARED``, or any way of entering, is set."""
    return _is_on("ENCODING_SHARED") or asks_for_password() or asks_for_login()


def check_change() -> None:
    """Raise ReadOnly unless :func:`may_change`."""
    if not may_change():
        raise ReadOnly("This server only shows what is there: nothing can be started or changed. Its operator can.")


def check_weights(weights: str) -> str:
    """Return ``weights``; PathRefused where it is a path and no path may be opened."""
    if is_shared() and weights != "pretrained" and not weights.startswith("random:"):
        raise PathRefused(
            f"Weights {weights!r} are refused: this server opens no file that is named in a page or a link. "
            "Choose pretrained, or random:0 for the untrained network."
        )
    return weights


def change_button(label: str, **more: Any) -> bool:
    """Show a button that starts or changes something; on a read-only server show none and return False."""
    return may_change() and st.button(label, **more)


class Guarded:
    """Background jobs of a server; a read-only one starts and cancels none.

    Everything else is passed on to the :class:`encoding.jobs.Jobs` that is guarded.
    """

    def __init__(self, jobs: Any) -> None:
        self._jobs = jobs

    def submit(self, task: Callable, spec: Any, *, key: str, **about: Any) -> Any:
        """Submit a job of this user (:meth:`encoding.jobs.Jobs.submit`); None, with an error, without a scheduler or where nothing can be
        kept; ReadOnly on a read-only server."""
        return self._asking(self._jobs.submit, task, spec, key=key, **about, **as_owner())

    def cancel(self, key: str) -> bool:
        """Cancel a job (:meth:`encoding.jobs.Jobs.cancel`); ReadOnly where nothing may be changed, NotTheOwner of another's."""
        check_change()
        return self._jobs.cancel(key, **({} if is_operator() else as_owner()))

    def retry(self, key: str) -> Any:
        """Retry a job (:meth:`encoding.jobs.Jobs.retry`); None, with an error, without a scheduler; ReadOnly on a read-only server."""
        return self._asking(self._jobs.retry, key, **as_owner())

    def _asking(self, ask: Callable, *arguments: Any, **more: Any) -> Any:
        check_change()
        try:
            return ask(*arguments, **more)
        except OSError as wrong:  # no scheduler answers, or the Store is full or cannot be written to
            st.error(plain(wrong))
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._jobs, name)


class GuardedExperiments:
    """Experiments of a server (:class:`encoding.jobs.experiments.Experiments`); a read-only one starts and cancels none."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def start(self, experiment: Any) -> str:
        """Run an experiment in the background and return its key; ReadOnly where nothing may be changed."""
        check_change()
        return self._made.start(experiment, **as_owner())

    def cancel(self, key: str) -> bool:
        """Stop an experiment; ReadOnly where nothing may be changed, NotTheOwner of another's."""
        check_change()
        return self._made.cancel(key, **({} if is_operator() else as_owner()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


# ---- owners of jobs


def as_owner() -> dict[str, str]:
    """This user as the ``owner`` of a job: who logged in, else this browser, else this session; empty where all jobs are one person's."""
    if not is_shared():
        return {}
    user = (st.user.get("email") or st.user.get("sub")) if asks_for_login() else ""
    return {"owner": str(user or _browser())}


def is_owner(owner: str) -> bool:
    """Whether a job of this owner is this user's own; false where jobs have no owners."""
    return bool(owner) and as_owner().get("owner") == owner


def may_cancel(owner: str) -> bool:
    """Whether this user may cancel a job of this owner."""
    return not is_shared() or is_owner(owner) or is_operator()


def is_operator() -> bool:
    """Whether this user logged in with an address of ``ENCODING_OPERATORS``."""
    operators = os.environ.get("ENCODING_OPERATORS", "").strip(" ,")
    return bool(operators) and asks_for_login() and is_allowed(st.user, operators)


def _browser() -> str:
    """Digest of the random cookie that Streamlit gives each browser, as a session ends with each reload; else a name of this session.

    The cookie holds a token under a mask, ``2|mask|masked token|time``, and every reload gives the same token another mask.
    """
    if cookie := str(st.context.cookies.get(BROWSER_COOKIE, "")):
        with suppress(ValueError):
            _, mask, masked, _ = cookie.split("|")
            cookie = bytes(each ^ over for each, over in zip(bytes.fromhex(masked), cycle(bytes.fromhex(mask)), strict=False)).hex()
        return hashlib.sha256(cookie.encode()).hexdigest()[:16]
    return st.session_state.setdefault("_owner", secrets.token_hex(8))


# ---- entering


def is_in() -> bool:
    """Whether this session has entered the password or logged in, where one is needed."""
    if asks_for_login():
        return bool(st.user.get("is_logged_in")) and is_allowed(st.user, os.environ.get("ENCODING_ALLOWED", ""))
    return bool(st.session_state.get("_entered")) or not asks_for_password()


def enter() -> None:
    """Continue for a session that is in; else show the password or login form and stop the run."""
    if asks_for_login():
        _log_in()
    elif not is_in():
        _ask()
        st.stop()
    if not may_change():
        st.sidebar.caption(":material/visibility: Read-only: this server shows what was computed and starts nothing.")


def asks_for_password() -> bool:
    """Whether ``ENCODING_PASSWORD_HASH`` is set; a damaged one lets nobody in."""
    return bool(os.environ.get("ENCODING_PASSWORD_HASH"))


def asks_for_login() -> bool:
    """Whether ``secrets.toml`` has an ``[auth]`` section."""
    return st.secrets.load_if_toml_exists() and "auth" in st.secrets


def _ask() -> None:
    tries = st.session_state.setdefault("_tries", Tries(free=1, longest=LONGEST_WAIT["session"]))
    st.space("large")
    _, middle, _ = st.columns([1, 1, 1])
    with middle, st.form("enter", border=True):
        st.markdown("**Encoding Explorer**")
        typed = st.text_input("Password", type="password", key="_password", max_chars=MOST_CHARACTERS, autocomplete="current-password")
        if not st.form_submit_button("Enter", type="primary", width="stretch"):
            return
        if (wait := begin_try(tries, EVERYBODY)) > 0:
            st.error(f"Too many wrong tries. Wait {wait:.0f} s and try again." if wait >= 1 else "Wait a second and try again.")
            return
        if is_password(typed, os.environ["ENCODING_PASSWORD_HASH"]):
            forgive_try(tries, EVERYBODY)
            st.session_state["_entered"] = True
            st.rerun()
        st.error("That is not the password.")


def _log_in() -> None:
    user = st.user
    if is_in():
        with st.sidebar:
            st.caption(f"Logged in as {plain(user.get('email') or user.get('name') or user.get('sub'))}")
            st.button("Log out", key="_log_out", type="tertiary", on_click=st.logout)
        return
    if user.get("is_logged_in"):
        st.error(f"{plain(user.get('email') or 'This account')} is not on the list of this server. Its operator can add it.")
        st.button("Log out", key="_log_out", on_click=st.logout)
        st.stop()
    st.space("large")
    _, middle, _ = st.columns([1, 1, 1])
    with middle.container(border=True):
        st.markdown("**Encoding Explorer**")
        st.button("Log in", key="_log_in", type="primary", width="stretch", on_click=st.login)
    st.stop()


def is_allowed(user: Mapping[str, Any], allowed: str) -> bool:
    """Whether a logged-in e-mail address is allowed.

    Parameters
    ----------
    user : the provider's claims. ``email`` counts where ``email_verified`` is there and true, as some providers let people set any
        address; where it is missing and ``ENCODING_UNVERIFIED_EMAIL`` is set, too.
    allowed : addresses and ``@domains`` with commas between; empty lets in everybody who can log in.

    >>> is_allowed({"email": "Ada@Lab.edu", "email_verified": True}, "@lab.edu, bob@home.org")
    True
    >>> is_allowed({"email": "Ada@Lab.edu"}, "@lab.edu, bob@home.org")
    False
    """
    known = {each.strip().lower() for each in allowed.split(",") if each.strip()}
    if not known:
        return True
    email = str(user.get("email") or "").lower()
    verified = user.get("email_verified")
    accepted = _is_on("ENCODING_UNVERIFIED_EMAIL") if verified is None else str(verified).lower() == "true"
    if not accepted or email.count("@") != 1:
        return False
    return email in known or f"@{email.partition('@')[2]}" in known


# ---- passwords


def password_hash(password: str) -> str:
    """Hash a password for ``ENCODING_PASSWORD_HASH``: ``scrypt:<n>:<r>:<p>:<salt>:<hash>``, the last two in base64. Salted."""
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, **SCRYPT)
    return ":".join(["scrypt", *(str(SCRYPT[name]) for name in "nrp"), *(base64.urlsafe_b64encode(part).decode() for part in (salt, made))])


def is_password(password: str, known: str) -> bool:
    """Compare a password with its hash in constant time; false for a damaged hash."""
    try:
        kind, n, r, p, salt, made = known.strip().split(":")
        if kind != "scrypt" or len(password) > MOST_CHARACTERS:
            return False
        with ONE_AT_A_TIME:  # else a crowd of tries takes all memory
            computed = _scrypt(password, base64.urlsafe_b64decode(salt), n=int(n), r=int(r), p=int(p))
        return hmac.compare_digest(computed, base64.urlsafe_b64decode(made))
    except (ValueError, binascii.Error):
        return False


def _scrypt(password: str, salt: bytes, *, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=MOST_MEMORY, dklen=32)


@dataclass
class Tries:
    """Count of wrong passwords, which delays the next try by 1, 2, 4, … seconds once the free ones are used up.

    Attributes
    ----------
    free : wrong tries that cost nothing.
    longest : seconds that a wait grows to.
    clock : seconds that only go forward.
    """

    free: int
    longest: float
    clock: Callable[[], float] = time.monotonic
    n_wrong: int = 0
    last: float = 0.0

    def wait(self) -> float:
        """Seconds until the next try is accepted; 0 where it may be made now."""
        now = self.clock()
        if now - self.last > FORGOTTEN_AFTER:
            self.n_wrong = 0
        if self.n_wrong <= self.free:
            return 0.0
        wait = min(self.longest, 2.0 ** min(self.n_wrong - self.free - 1, 16))
        return max(0.0, self.last + wait - now)

    def wrong(self) -> None:
        """Count one more wrong try."""
        self.n_wrong, self.last = self.n_wrong + 1, self.clock()


def begin_try(*limits: Tries) -> float:
    """Count a try as wrong until :func:`forgive_try` and return the seconds that it has to wait; 0 for none.

    It counts before its password is looked at, and under a lock: sessions that try at the same moment would all pass otherwise.
    """
    with COUNTING:
        wait = max(each.wait() for each in limits)
        if wait == 0:
            for each in limits:
                each.wrong()
        return wait


def forgive_try(*limits: Tries) -> None:
    """Undo the count of :func:`begin_try` after a right password."""
    with COUNTING:
        for each in limits:
            each.n_wrong = max(0, each.n_wrong - 1)


EVERYBODY = Tries(free=FREE_TRIES, longest=LONGEST_WAIT["server"])  # of this process
ONE_AT_A_TIME, COUNTING = threading.Lock(), threading.Lock()


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in NO


def main() -> None:
    """Ask for a new password twice and print the line that sets it."""
    first = getpass("New password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not first or (sys.stdin.isatty() and getpass("Once more: ") != first):
        sys.exit("The two differ, or nothing was typed. Nothing was made.")
    print(f"ENCODING_PASSWORD_HASH={password_hash(first)}")


if __name__ == "__main__":
    main()
