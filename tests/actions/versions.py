"""What people do with versions of models, for the role matrix."""

from tests.factories import CatalogModelFactory, ModelVersionFactory
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
RUNS = {"upstream_name": "glm", "image": "vllm/vllm-openai:v0.11.0"}
SCORE = {"benchmark": "MMLU", "value": "88.5", "source_url": "https://example.org/scores"}
NEW = {"model": "{it.name}", "org": "zai-org", "version": "fp8"}
ON_PAGE = {"gpus_per_replica": "1", "memory": "80Gi", "visibility": "all"}


def model(world, actor):
    return CatalogModelFactory()


def version(world, actor):
    return ModelVersionFactory()


VERSION_ACTIONS = [
    Action(
        "add a version of a model",
        "catalog.actions.versions.add_version",
        subject=model,
        api=EntryPoint("POST /api/v1/model-versions/", NEW | RUNS),
        admin=EntryPoint("POST /admin/catalog/modelversion/add-version/", SENT | NEW | RUNS | ON_PAGE),
    ),
    Action(
        "edit a version of a model",
        "catalog.actions.versions.change_version",
        subject=version,
        api=EntryPoint("PATCH /api/v1/model-versions/{it.pk}/", {"precision": "fp8"}),
        admin=EntryPoint("POST /admin/catalog/modelversion/{it.pk}/edit/", SENT | RUNS | ON_PAGE),
    ),
    Action(
        "write the documentation of a model",
        "catalog.actions.documents.document_model",
        subject=model,
        api=EntryPoint("PUT /api/v1/models/{it.name}/documentation/", {"text": "For letters."}),
        admin=EntryPoint(
            "POST /admin/catalog/catalogmodel/{it.pk}/documentation/", {"text": "For letters.", "seen": ""}
        ),
    ),
    Action(
        "enter a score of a model",
        "catalog.actions.scores.set_score",
        subject=model,
        api=EntryPoint("PUT /api/v1/models/{it.name}/scores/", SCORE),
        admin=EntryPoint("POST /admin/catalog/catalogmodel/{it.pk}/score/", SENT | SCORE),
    ),
    Action(
        "retire a version of a model",
        "catalog.actions.versions.retire_version",
        subject=version,
        api=EntryPoint("POST /api/v1/model-versions/{it.pk}/retire/"),
        admin=EntryPoint("POST /admin/catalog/modelversion/{it.pk}/retire/", SENT),
    ),
]
