"""Sign-in: a local workspace needs none, so these objects are accepted and not used."""

from __future__ import annotations

from typing import Any

from longshore_azureml.keywords import checked
from longshore_azureml.unsupported import Supported


class AbstractAuthentication(Supported):
    """Credentials."""

    def get_authentication_header(self) -> dict[str, str]:
        """Return the header for requests to endpoints of published pipelines in this process."""
        from longshore_azureml.endpoint_server import authorization

        return authorization()

    def get_token(self, *scopes: str) -> str:
        """Return the token of the header."""
        return self.get_authentication_header()["Authorization"].removeprefix("Bearer ")


@checked
class InteractiveLoginAuthentication(AbstractAuthentication):
    """Sign-in by a browser."""

    def __init__(
        self, force: bool = False, tenant_id: str | None = None, cloud: str | None = None, _cloud_type: Any = None
    ) -> None:
        pass


@checked
class ServicePrincipalAuthentication(AbstractAuthentication):
    """Sign-in of a service principal."""

    def __init__(
        self,
        tenant_id: str,
        service_principal_id: str,
        service_principal_password: str,
        cloud: str = "AzureCloud",
        _enable_caching: bool = True,
        _cloud_type: Any = None,
    ) -> None:
        pass


@checked
class AzureCliAuthentication(AbstractAuthentication):
    """Sign-in of Azure's command line."""

    def __init__(self, cloud: str | None = None, _cloud_type: Any = None) -> None:
        pass


@checked
class MsiAuthentication(AbstractAuthentication):
    """Sign-in of a managed identity."""

    def __init__(self, identity_config: Any = None, cloud: str | None = None, _cloud_type: Any = None) -> None:
        pass


@checked
class TokenAuthentication(AbstractAuthentication):
    """Sign-in by a token."""

    def __init__(self, get_token_for_audience: Any = None, cloud: str | None = None) -> None:
        pass
