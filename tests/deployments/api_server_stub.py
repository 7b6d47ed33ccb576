"""An API server that answers by a script, for tests of what the Kubernetes driver believes."""

import contextlib
import http.server
import json
import threading

from deployments.cluster.kubernetes import KubernetesCluster

HTML, JSON, TEXT = "text/html", "application/json", "text/plain"


def failure(code, reason, message, **details):
    status = {"kind": "Status", "status": "Failure", "reason": reason, "code": code, "message": message}
    return json.dumps(status | ({"details": details} if details else {}))


class Stub:
    """The little of an API server that a deployment needs. `stranger` answers in its place: status, content type, body
    and more headers, or a function that is given the request's handler."""

    def __init__(self):
        self.held, self.asked, self.stranger, self.quota, self.pods = {}, [], None, None, []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self):
                # Whoever asked may have heard enough.
                with contextlib.suppress(OSError):
                    super().handle()

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = self.path.split("?")[0]
                stub.asked.append((self.command, path))
                answer = stub.stranger or stub.answer(self.command, path, body)
                if callable(answer):
                    answer(self)
                    return
                status, kind, text, *more = answer
                data = text if isinstance(text, bytes) else text.encode()
                headers = {"content-type": kind, "content-length": str(len(data))}
                if status == 302:
                    headers["location"] = f"http://127.0.0.1:{stub.port}/sign-in"
                self.send_response(status)
                for header, value in (headers | (more[0] if more else {})).items():
                    self.send_header(header, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PATCH = do_POST = do_DELETE = handle_any

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, method, path, body):
        name = path.rsplit("/", 1)[-1]
        resource = path.split("/")[-2]
        if method == "PATCH":
            if self.quota and path not in self.held:
                details = {"name": name, "kind": resource}
                return 403, JSON, failure(403, "Forbidden", f'{resource} "{name}" {self.quota}', **details)
            document = json.loads(body)
            document["metadata"] |= {"uid": "u1", "generation": 1}
            count = document["spec"].get("replicas", 1)
            ready = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            document["status"] = {"observedGeneration": 1} | dict.fromkeys(ready, count)
            self.held[path] = document
        elif method == "GET" and name == "pods":
            return 200, JSON, json.dumps({"kind": "PodList", "apiVersion": "v1", "items": self.pods})
        elif path not in self.held:
            return (
                404,
                JSON,
                failure(404, "NotFound", f'{resource} "{name}" not found', name=name, kind=resource),
            )
        elif method == "DELETE":
            del self.held[path]
            return 200, JSON, '{"kind": "Status", "status": "Success"}'
        return 200, JSON, json.dumps(self.held[path])

    @property
    def runs(self):
        return any("/deployments/" in path for path in self.held)


def driver_of(stub, **how):
    """A driver that asks the stub, as another process would have it: it remembers nothing."""
    named = {"name": "c"}
    return KubernetesCluster.from_text(
        {
            "current-context": "c",
            "clusters": [named | {"cluster": {"server": f"http://127.0.0.1:{stub.port}"}}],
            "users": [named | {"user": {"token": "t"}}],
            "contexts": [named | {"context": {"cluster": "c", "user": "c"}}],
        },
        **how,
    )
