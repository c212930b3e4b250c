# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs in at a getty on a serial console. Private to this collection."""

from __future__ import annotations

import dataclasses
import re
import time
import typing as t

from ansible_collections.liveforge.images.plugins.module_utils._serial.console import ConsoleTimeout, SerialConsole

# getty's prompt, which begins with the host's name. Not "Last login: ...", and not "login: timed out after 60 seconds".
LOGIN_PROMPT = re.compile(r"(?<=\S )(?<!Last )login:[ \t]")
PASSWORD_PROMPT = r"(?i)\bpassword(?: for \S+)?: ?"
_AUTOMATIC_LOGIN = re.compile(r"\((?:automatic|auto) ?login\)")
_REFUSALS = re.compile(r"Login incorrect|Authentication failure|Permission denied|[Aa]ccount .{0,20}(?:expired|locked)")

_TIMED_OUT = re.compile(r"login: timed out after|Login timed out")

# Silence after which Enter is pressed, since a login prompt may have got lost, or a name. The latter is rare, and a
# very slow guest may take Enter for an empty password.
_PROMPT_SECONDS = 30.0
_ANSWER_SECONDS = 120.0
# How long the password prompt may take when another login prompt has come after the name was given.
_LATE_SECONDS = 6.0
# How long repeated prompts and the remark on an automatic login may trail behind a prompt.
_SETTLE_SECONDS = 0.3
_TRIES = 3


class LoginError(Exception):
    """The guest did not let us in; the message says at which step."""


@dataclasses.dataclass(frozen=True)
class Account:
    """Who logs in.

    Attributes:
        user: the account's name.
        password: None for an account without one.
        password_prompt: what the guest says when it wants the password; other languages say it otherwise.
    """

    user: str
    password: str | None = None
    password_prompt: re.Pattern[str] = re.compile(PASSWORD_PROMPT)


class SerialLogin:
    """The dialogue with getty and login(1), up to the password.

    The kernel may write between prompt and answer, getty may repeat its prompt, and the prompt may have come already:
    hence the search begins where the caller has put the console's cursor, and Enter asks for a prompt that went by.

    Args:
        console: with the cursor where a login prompt may follow.
        account: who logs in.
        fail_patterns: text that ends the attempt.
    """

    def __init__(
        self, console: SerialConsole, account: Account, fail_patterns: t.Sequence[re.Pattern[str]] = ()
    ) -> None:
        self._console = console
        self._account = account
        self._fail_patterns = tuple(fail_patterns)

    def run(self, seconds: float) -> None:
        """Give name and password. Whether they were accepted shows when a shell answers: see :attr:`refusals`.

        Raises:
            LoginError: the guest did not ask within ``seconds``.
            ConsoleClosed: the guest has gone.
        """
        end = time.monotonic() + seconds
        for dummy in range(_TRIES):
            if not self._reach_prompt(end):
                return
            self._console.send_line(self._account.user)
            if self._account.password is None or self._answer_password(self._account.password, end):
                return
        raise LoginError(f"it asked for a user name {_TRIES} times, but never for the password of {self._account.user}")

    @property
    def refusals(self) -> dict[re.Pattern[str], str]:
        """What the console shows when name or password are not accepted, and what it means."""
        user = self._account.user
        refused = f"it refused the user name {user} or the password"
        if self._account.password is None:
            asked = f"it wants a password for {user}, and none was given"
        else:
            asked = f"it asked again for the password of {user}"
        return {
            _TIMED_OUT: "login gave up, since the guest is too slow",
            _REFUSALS: refused,
            LOGIN_PROMPT: refused,
            self._account.password_prompt: asked,
        }

    def _reach_prompt(self, end: float) -> bool:
        """Wait for the login prompt; False when somebody is being logged in without one."""
        self._wait((LOGIN_PROMPT,), end, _PROMPT_SECONDS, "no login prompt came")
        self._console.listen(_SETTLE_SECONDS)
        automatic = self._console.text.find([_AUTOMATIC_LOGIN]) is not None
        while self._console.text.find([LOGIN_PROMPT]):
            pass
        return not automatic

    def _answer_password(self, password: str, end: float) -> bool:
        """Answer the password prompt; False when getty asks for the name again."""
        prompt, before = self._account.password_prompt, self._console.text.cursor
        failure = f"no password prompt came for the user {self._account.user}"
        match = self._wait((prompt, LOGIN_PROMPT), end, _ANSWER_SECONDS, failure)
        if match.re == LOGIN_PROMPT:
            try:
                # Perhaps a late repetition of the prompt that was answered already.
                self._console.wait_for([prompt], _LATE_SECONDS)
            except ConsoleTimeout:
                self._console.text.cursor = before
                return False
        self._console.send_line(password)
        return True

    def _wait(self, patterns: t.Sequence[re.Pattern[str]], end: float, patience: float, failure: str) -> re.Match[str]:
        """Wait until ``end``, pressing Enter after each ``patience`` of silence: getty then asks again."""
        while (left := end - time.monotonic()) > 0:
            try:
                match = self._console.wait_for([*patterns, *self._fail_patterns], min(left, patience))
            except ConsoleTimeout:
                self._console.send(b"\r")
                continue
            if match.re not in patterns:
                raise LoginError(f"the console said {match.group().strip()!r}")
            return match
        raise LoginError(failure)
