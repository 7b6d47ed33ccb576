"""What the catalog puts first when nobody has searched or sorted."""

import re

from catalog.models import CatalogModel
from tests.factories import CatalogModelFactory
from tests.gateway.granted import key_for


def test_the_catalog_recommends_what_one_may_use_then_our_own_then_priced_chat(client, developer, project):
    CatalogModelFactory(name="a-picture", mode="image_generation")
    CatalogModelFactory(name="b-unpriced-chat", mode="chat")
    CatalogModelFactory(name="c-priced-chat", mode="chat", list_input_price="1.5")
    CatalogModelFactory(name="d-ours", hosting=CatalogModel.Hosting.OURS)
    key_for(project, CatalogModelFactory(name="e-granted"))
    client.force_login(developer)
    page = client.get("/t/lab/models/").content.decode()
    shown = re.findall(r'<h2 class="wrap-any"><a href="/t/lab/models/([a-z-]+)/"', page)
    assert shown[:3] == ["e-granted", "d-ours", "c-priced-chat"]
