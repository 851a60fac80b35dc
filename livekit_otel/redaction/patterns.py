"""The ready-made ``redact``: phone numbers, card numbers, IBANs and e-mail addresses in their usual notations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from .._install_hint import install_hint
from ..errors import MissingDependencyError, OptionError

__all__ = ["PatternRedactor"]

#: start and end of a match
Span: TypeAlias = tuple[int, int]

_DIGIT = re.compile(r"\d")
#: the local part is limited, and cannot start inside another one: linear time on any text
_EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])")
#: country code, check digits, and more letters and digits, grouped or not
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}[ -]?\d{2}(?:[ .-]?[A-Za-z0-9]){11,31}")
_SHORTEST_IBAN, _LONGEST_IBAN = 15, 34
#: digits in groups, with at most two characters between two groups
_DIGITS = re.compile(r"\d+(?:[ .,\u00a0\u2010-\u2013-]{1,2}\d+)*")
_GROUP = re.compile(r"\d+")
_SHORTEST_CARD, _LONGEST_CARD = 12, 19
#: number of digits that identify the issuer of a card
_ISSUER_DIGITS = 4
#: first digits of the cards of each issuer, and the possible numbers of digits
_ISSUERS: tuple[tuple[str, range], ...] = (
    ("4", range(13, 20, 3)),  # Visa
    ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", range(16, 17)),  # Mastercard
    ("3[47]", range(15, 16)),  # American Express
    ("30[0-5]|3095|36|3[89]", range(14, 20)),  # Diners Club
    ("6011|64[4-9]|65|62|8[12]|508", range(16, 20)),  # Discover, UnionPay, RuPay
    ("35(?:2[89]|[3-8])", range(16, 20)),  # JCB
    ("5018|5020|5038|5893|6304|6759|676[1-3]", range(12, 20)),  # Maestro
    ("220[0-4]", range(16, 20)),  # Mir
)
_CARDS = [(re.compile(first), lengths) for first, lengths in _ISSUERS]


class PatternRedactor:
    """A ``redact`` that replaces text in the form of a phone number, a card number, an IBAN or an e-mail address.

    ``redact=livekit_otel.PatternRedactor()`` replaces them with ``[PHONE]``, ``[CARD]``, ``[IBAN]`` and ``[EMAIL]``. It
    needs the extra ``redact``. Card numbers must have an issuer's first digits and a valid Luhn checksum, IBANs a valid
    checksum and their country's format; phone numbers must be valid for Google's libphonenumber.

    It does not find anything spelled out in words ("four one one one", "john at example dot com"), names, streets, or
    dates of birth; docs/privacy.md lists what it finds and what it does not.

    Args:
        region: two-letter code of the country whose national phone numbers are also found, like ``"US"``. None finds
            only numbers that start with ``+``: with a region, more than one in three random ten-digit numbers (order
            or customer numbers) are mistaken for phone numbers.
        phone: whether to replace phone numbers.
        card: whether to replace card numbers.
        iban: whether to replace IBANs.
        email: whether to replace e-mail addresses.

    Raises:
        MissingDependencyError: the extra ``redact`` is not installed.
        OptionError: ``region`` is not a region with known phone numbers.
    """

    def __init__(
        self, region: str | None = None, *, phone: bool = True, card: bool = True, iban: bool = True, email: bool = True
    ) -> None:
        phonenumbers, self._is_luhn, self._is_iban = _libraries()
        if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
            raise OptionError(f"region must be a two-letter country code, like 'US', or None, not {region!r}")
        self._region = region
        self._phonenumbers = phonenumbers
        found: list[tuple[bool, str, Callable[[str], Iterator[Span]]]] = [
            (email, "[EMAIL]", self._emails),
            (iban, "[IBAN]", self._ibans),
            (card, "[CARD]", self._cards),
            (phone, "[PHONE]", self._phones),
        ]
        self._searches = [(token, search) for wanted, token, search in found if wanted]

    def __call__(self, text: str, kind: str = "") -> str:
        """``text`` with all matches replaced. The kind of content makes no difference."""
        for token, search in self._searches:
            parts, end = [], 0
            for start, stop in search(text):
                parts += [text[end:start], token]
                end = stop
            if parts:
                text = "".join([*parts, text[end:]])
        return text

    def _emails(self, text: str) -> Iterator[Span]:
        if "@" in text:
            yield from (found.span() for found in _EMAIL.finditer(text))

    def _ibans(self, text: str) -> Iterator[Span]:
        at = 0
        while found := _IBAN.search(text, at):
            at = self._iban_end(found)
            if at:
                yield found.start(), at
            else:
                at = found.start() + 4

    def _iban_end(self, found: re.Match[str]) -> int:
        """The end of the IBAN at the start of a match; 0 if there is none."""
        text = found.string
        places = [at for at in range(found.start(), found.end()) if text[at].isalnum()][:_LONGEST_IBAN]
        compact = "".join(text[at] for at in places).upper()
        head, rest = int("".join(str(int(one, 36)) for one in compact[:4])), 0
        for length, one in enumerate(compact[4:], 5):
            rest = (rest * (10 if one.isdigit() else 100) + int(one, 36)) % 97
            end = places[length - 1] + 1
            if length < _SHORTEST_IBAN or text[end : end + 1].isalnum() or (rest * 1_000_000 + head) % 97 != 1:
                continue
            if self._is_iban(compact[:length], check_country=False):
                return end
        return 0

    def _cards(self, text: str) -> Iterator[Span]:
        for found in _DIGITS.finditer(text):
            if found.end() - found.start() >= _SHORTEST_CARD:
                yield from self._cards_in(text, [group.span() for group in _GROUP.finditer(text, *found.span())])

    def _cards_in(self, text: str, groups: list[Span]) -> Iterator[Span]:
        """Card numbers that start and end at the boundaries of digit groups."""
        first = 0
        while first < len(groups):
            last = next(self._card_ends(text, groups, first), None)
            if last is not None:
                yield groups[first][0], groups[last][1]
                first = last
            first += 1

    def _card_ends(self, text: str, groups: list[Span], first: int) -> Iterator[int]:
        if first and not _apart(text, groups, first):
            return
        number, lengths = "", None
        for last in range(first, len(groups)):
            start, end = groups[last]
            size = end - start
            # groups of a card number have three digits or more; spelled digit by digit, all groups have the same size
            if len(number) + size > _LONGEST_CARD or (size < 3 and size != groups[first][1] - groups[first][0]):
                return
            number += _ascii(text[start:end])
            if len(number) < _ISSUER_DIGITS:
                continue
            if lengths is None:
                lengths = {n for issuer, allowed in _CARDS if issuer.match(number) for n in allowed}
            if not lengths:
                return
            if len(number) in lengths and _apart(text, groups, last + 1) and self._is_luhn(number):
                yield last

    def _phones(self, text: str) -> Iterator[Span]:
        if ("+" in text or "\uff0b" in text or self._region is not None) and _DIGIT.search(text):
            # a limited number of tries would miss numbers in a long text
            matcher = self._phonenumbers.PhoneNumberMatcher(text, self._region, max_tries=len(text))
            yield from ((found.start, found.end) for found in matcher)


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(int(one)) for one in digits)


def _apart(text: str, groups: list[Span], group: int) -> bool:
    """Whether a group of digits is separate from the group before: not as in "0.41" or in a UUID."""
    return group >= len(groups) or text[groups[group - 1][1] : groups[group][0]] not in (".", "-")


def _libraries() -> tuple[Any, Callable[[str], bool], Callable[..., bool]]:
    try:
        import phonenumbers
        from stdnum import iban, luhn
    except ImportError as error:
        raise MissingDependencyError(
            "PatternRedactor needs phonenumberslite and python-stdnum, which are not installed: "
            + install_hint("redact")
        ) from error
    return phonenumbers, luhn.is_valid, iban.is_valid
