"""Request fields of the HTTP API."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from rest_framework import serializers

from core.addresses import read_address


class AddressSerializerField(serializers.EmailField):
    """An e-mail address in a request of the HTTP API."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validators = [one for one in self.validators if not isinstance(one, EmailValidator)]

    def to_internal_value(self, data: Any) -> str:
        try:
            return read_address(super().to_internal_value(data))
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from error
