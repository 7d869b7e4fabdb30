"""What the page answers, checked at the border."""

from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from whatsapp_contract.errors import PageTimeout

_Model = TypeVar("_Model", bound=BaseModel)
_T = TypeVar("_T")


class PageMalformed(PageTimeout):
    """The page answered with something that is no answer: as good as none."""


def checked(model: type[_Model], answer: Any) -> _Model:
    """The answer as that model. Raises PageMalformed."""
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        raise PageMalformed(f"the page answered with an odd {model.__name__}: {problems(error)}") from None


def checked_as(adapter: TypeAdapter[_T], answer: Any) -> _T:
    """The answer as what is no model: a list of them, say. Raises PageMalformed."""
    try:
        return adapter.validate_python(answer)
    except ValidationError as error:
        raise PageMalformed(f"the page answered with something odd: {problems(error)[:3]}") from None


def problems(error: ValidationError) -> list[str]:
    """Only where it is wrong: the values may be a message's text."""
    return [".".join(map(str, item["loc"])) for item in error.errors(include_input=False)]
