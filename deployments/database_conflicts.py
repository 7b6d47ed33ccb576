"""Messages for people when a trigger rejects a deployment or a version that someone else's change has overtaken."""

from django.utils.translation import gettext_lazy as _

from core.database_conflicts import Sentence

SENTENCES = {
    "deployment_of_current_version": Sentence(
        _("Someone else has just retired this version. Choose another one."), "version_retired"
    ),
    "deployment_serves_whom_its_version_is_for": Sentence(
        _(
            "Someone else has just changed which tenants may use this version, or which ones its deployments "
            "serve. Reload to see the current state."
        ),
        "version_changed",
    ),
    "model_version_runs_unchanged": Sentence(
        _("Someone else has just deployed this version, so what it runs stays. Make another version."),
        "version_deployed",
    ),
}
