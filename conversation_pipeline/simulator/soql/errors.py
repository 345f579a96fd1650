"""The one error of SOQL: a Salesforce error code and the message a client would see."""

from __future__ import annotations


class SoqlError(Exception):
    """
    A query that the org refuses.

    Attributes:
      code: a Salesforce errorCode such as MALFORMED_QUERY (REST API Developer Guide, status codes [doc]).
      message: what the reply says.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def at(cls, code: str, message: str, text: str, position: int) -> SoqlError:
        """The error with the query's line and a caret below the place, as Salesforce prints it."""
        row = text.count("\n", 0, position) + 1
        start = text.rfind("\n", 0, position) + 1
        end = text.find("\n", position)
        line = text[start : end if end >= 0 else len(text)]
        column = position - start + 1
        caret = " " * (column - 1) + "^"
        return cls(code, f"\n{line}\n{caret}\nERROR at Row:{row}:Column:{column}\n{message}")
