"""What all handlers have."""

from __future__ import annotations

from ..service.builds import Builds
from ..service.checks import Checks
from ..service.harvests import Harvests
from ..service.searches import Searches
from ..service.service import Service


class Handlers:
    """What the handlers of every topic are made of. For any thread.

    Names in requests are only ever looked up among what the host lists.

    Args:
        service: of the host.
        builds: of the host.
        checks: of the host; by default those that are run at once.
    """

    def __init__(self, service: Service, builds: Builds, checks: Checks | None = None) -> None:
        self.service = service
        self.builds = builds
        self.harvests = Harvests(service)
        self.checks = checks or Checks(service)
        self.searches = Searches(service)
