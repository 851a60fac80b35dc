"""Credentials as auth objects of requests, so that a netrc file does not replace them."""

from __future__ import annotations

import base64

import requests
from requests.auth import AuthBase, HTTPBasicAuth

__all__ = ["Bearer", "NoCredentials", "basic", "secrets_of_auth"]


class Bearer(AuthBase):
    """A bearer token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    @property
    def secrets(self) -> set[str]:
        return {self._token}


class NoCredentials(AuthBase):
    """Leaves the headers as they are and ignores netrc files."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def basic(user: str, password: str) -> AuthBase:
    """User name and password, encoded as UTF-8."""
    return HTTPBasicAuth(user.encode(), password.encode())


def secrets_of_auth(auth: AuthBase | None) -> set[str]:
    """The parts of credentials that must not be shown."""
    if isinstance(auth, Bearer):
        return auth.secrets
    if isinstance(auth, HTTPBasicAuth):
        user, password = (one.decode() if isinstance(one, bytes) else one for one in (auth.username, auth.password))
        return {user, password, base64.b64encode(f"{user}:{password}".encode()).decode()}
    return set()
