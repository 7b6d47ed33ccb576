"""Everything people do, by area, for the role matrix (tests/role_matrix.py)."""

from tests.deeds.platform import PLATFORM_DEEDS
from tests.deeds.road import ROAD_DEEDS
from tests.deeds.tenancy import TENANCY_DEEDS

DEEDS = {deed.name: deed for deed in [*ROAD_DEEDS, *TENANCY_DEEDS, *PLATFORM_DEEDS]}
