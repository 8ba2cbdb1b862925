"""A small service on DynamoDB: GET /<key> answers an item, PUT /<key> stores one."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


class Handler(BaseHTTPRequestHandler):
    """Answers from the table."""

    def do_GET(self) -> None:
        """Answer the item under the path."""
        item = table.get_item(Key={"id": self.path[1:]}).get("Item")
        self._answer(200 if item else 404, json.dumps(item, default=str))

    def do_PUT(self) -> None:
        """Store the body under the path."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        table.put_item(Item={"id": self.path[1:], "body": body.decode()})
        self._answer(200, "{}")

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())


if __name__ == "__main__":
    address = os.environ.get("ADDRESS", "127.0.0.1")
    port = int(os.environ.get("PORT", "8080"))
    server = ThreadingHTTPServer((address, port), Handler)
    print(f"http://{address}:{server.server_port}", flush=True)
    server.serve_forever()
