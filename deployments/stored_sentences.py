"""What is stored about deployments in our words: in English, said in the language of the reader."""

from __future__ import annotations

from typing import Final

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

# What the drivers say (deployments/cluster, deployments/engine_host), which import no Django. What a cluster or a
# program says itself stays in its own words.
_SAID_BY_DRIVERS: Final = (
    gettext_noop("The deployment is being deleted; its replicas are stopping."),
    gettext_noop("%(ready)s of %(wanted)s replicas are ready."),
    gettext_noop("Only %(ready)s of %(wanted)s replicas are ready."),
    gettext_noop("Every replica runs the desired version."),
    gettext_noop("%(updated)s of %(wanted)s replicas run the desired version."),
    gettext_noop("The Deployment is gone, but %(pods)s of its pods are still there: %(names)s."),
    gettext_noop(
        "If they do not stop by themselves, somebody deleted it without them. Delete them: kubectl -n %(command)s"
    ),
    gettext_noop(
        "Pod %(pod)s is held back by %(gates)s until its queue has quota. It then continues by itself."
    ),
    gettext_noop("Pod %(pod)s is held back by %(gates)s. Ask the person who set it."),
    gettext_noop("Pod %(pod)s: %(cluster_says)s"),
    gettext_noop("%(cluster_says)s Raise the namespace's quota, or request fewer replicas."),
    gettext_noop(
        "Insufficient %(resource)s: a replica needs %(needed)s, and of the %(all)s of this machine %(free)s are free."
    ),
    gettext_noop(
        "Replica %(replica)s cannot be started: %(program)s: %(error)s. Install the program or correct the "
        "runtime's command. Next try in %(seconds)s s."
    ),
    gettext_noop(
        "Replica %(replica)s exited with code %(code)s; %(times)s time(s) so far. %(more)s It is started again after "
        "a pause of %(seconds)s s."
    ),
    gettext_noop(
        "Replica %(replica)s was killed by %(signal)s; %(times)s time(s) so far. %(more)s It is started again after "
        "a pause of %(seconds)s s."
    ),
    gettext_noop(
        "Replica %(replica)s gave no healthy answer within %(within)s s of its start; %(times)s time(s) so far. "
        "%(more)s It is started again after a pause of %(seconds)s s."
    ),
    gettext_noop('Its last line: "%(line)s". Read its log, %(log)s.'),
    gettext_noop("Read its log, %(log)s."),
    gettext_noop(
        "The API server's certificate is not trusted: %(cluster_says)s Correct the cluster's certificate authority."
    ),
    gettext_noop("The cluster's API server does not answer: %(cluster_says)s"),
    gettext_noop("The cluster cannot do it now (HTTP %(status)s): %(cluster_says)s"),
    gettext_noop("The cluster refuses the deployment (HTTP %(status)s): %(cluster_says)s"),
    gettext_noop("The cluster forbids it: %(cluster_says)s"),
    gettext_noop(
        "The cluster's credentials may not %(permission)s in namespace %(namespace)s. Grant it to them; "
        "docs/deployments.md has the role."
    ),
    gettext_noop(
        "The cluster's credentials may not %(permission)s. Grant it to them; docs/deployments.md has the role."
    ),
    gettext_noop(
        "The cluster, or a proxy in front of it, rejects our credentials: they have expired or were withdrawn. "
        "Enter new ones. (HTTP 401: %(cluster_says)s)"
    ),
    gettext_noop(
        "The cluster, or a proxy in front of it, refuses a request (HTTP %(status)s: %(cluster_says)s) and does not "
        "name the object. Check the proxies. The console tries again every minute."
    ),
    gettext_noop(
        "Something other than the cluster's API server answered (HTTP %(status)s: %(cluster_says)s). Check the "
        "address in the kubeconfig, and the proxies and sign-in pages in front of it."
    ),
    gettext_noop("%(object)s is still being deleted. Create it again when it is gone."),
    gettext_noop(
        "The namespace %(namespace)s does not exist and the cluster's credentials may not create it. "
        "Run: kubectl create namespace %(name)s"
    ),
    gettext_noop("This kubeconfig is not usable: %(error)s"),
    gettext_noop("It is not YAML from line %(line)s, column %(column)s on."),
    gettext_noop("It is not YAML."),
    gettext_noop("It is not a YAML mapping."),
    gettext_noop(
        "It refers to programs or files of another machine (%(keys)s). Use one with a token or certificates "
        "inside, as `kubectl config view --raw --flatten --minify` writes it."
    ),
    gettext_noop(
        "The engine host is not running (%(error)s). Start it with `python -m deployments.engine_host`; `make "
        "demo` does."
    ),
    gettext_noop(
        "%(cluster_says)s Raise the namespace's quota, or request less; it then continues by itself."
    ),
)
for _sentence in _SAID_BY_DRIVERS:
    StoredSentence(_sentence)
