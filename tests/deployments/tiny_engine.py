"""A server with a health path and faults on demand: enough of an engine to test those who look after it.

    tiny_engine.py --host H --port P [--exit-code N] [--sick-file F] [--say TEXT]

It answers /health with 200 (503 while the sick file exists) and every other path with what it is: pid,
arguments, environment.
"""

import argparse
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--exit-code", type=int)
    parser.add_argument("--sick-file", type=Path)
    parser.add_argument("--say", default="")
    options = parser.parse_args()
    if options.say:
        sys.stdout.write(f"{options.say}\n")
        sys.stdout.flush()
    if options.exit_code is not None:
        sys.exit(options.exit_code)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            is_sick = options.sick_file is not None and options.sick_file.exists()
            body = json.dumps({"pid": os.getpid(), "argv": sys.argv, "env": dict(os.environ)}).encode()
            self.send_response(503 if is_sick and self.path == "/health" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
