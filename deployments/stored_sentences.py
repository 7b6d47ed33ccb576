"""What is stored about deployments in our words: in English, said in the language of the reader."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from core.stored_words import StoredSentence

PUT_BACK = StoredSentence(
    gettext_noop(
        "Somebody changed this in the cluster, and Quartermaster reverted it at %(at)s UTC: %(what)s."
    )
)
TOO_SLOW = StoredSentence(gettext_noop("The cluster answers too slowly: a worker waited a minute."))
SERVICE_LEFT = StoredSentence(gettext_noop("The Deployment is gone. Its Service is deleted next."))
STALLED = StoredSentence(
    gettext_noop(
        "The new replicas did not become ready in time; the old replicas keep serving. See the "
        "other conditions, or the engine's log."
    )
)
NO_ROOM = StoredSentence(
    gettext_noop("No node has room for a replica: %(cluster_says)s Free or add capacity, or request less.")
)
NO_IMAGE = StoredSentence(
    gettext_noop(
        "The image %(image)s cannot be pulled: %(cluster_says)s Check its name and the registry's credentials."
    )
)
OUT_OF_MEMORY = StoredSentence(
    gettext_noop(
        "Pod %(pod)s used more memory than its limit and was killed, %(times)s time(s) so far. Give "
        "the deployment more memory, or a shorter context."
    )
)
ENGINE_ENDED = StoredSentence(
    gettext_noop(
        "Pod %(pod)s exited with code %(code)s, %(times)s time(s) so far. Read its log: kubectl logs --previous %(of)s."
    )
)
