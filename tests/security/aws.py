"""An AWS of one's own, in a thread: it hands out keys, and answers DynamoDB's reads.

It stands in the place of the endpoints of containers and of instances, of AWS STS, of
IAM Identity Center, and of DynamoDB. Each set of keys that it hands out is new. The
item that it answers with says which access key id signed the request, so a test sees
whose answer a caller was served.
"""

import json
import threading
from base64 import b32encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

ACCOUNT = 111122223333
FAR = "2099-01-01T00:00:00Z"
_FAR_MILLISECONDS = 4070908800000
_numbers = count(1)


def key_id(prefix: str = "ASIA", account: int = ACCOUNT) -> str:
    """Return a new access key id, as AWS makes them for an account."""
    bits = (account << 7) | 1 << 47
    number = next(_numbers)
    return (
        prefix + b32encode(bits.to_bytes(6, "big") + number.to_bytes(4, "big")).decode()
    )


class AWS:
    """The server.

    url: of all of its endpoints.
    reads: how many requests for items have reached it.
    roles: of the instance and of the container, by the path of their endpoint. A test
        may change them.
    expiry: of keys that AWS STS hands out.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.reads = 0
        self.handed_out: list[str] = []
        self.roles: dict[str, str] = {}
        self.expiry = FAR

    def keys(self, account: int = ACCOUNT) -> tuple[str, str, str]:
        """Return a new set of keys."""
        key = key_id("ASIA", account)
        self.handed_out.append(key)
        return key, f"secret of {key}", f"token of {key}"

    # --- endpoints -----------------------------------------------------------------

    def container(self, name: str) -> dict[str, str]:
        """Answer as the endpoint of a container; `pod...` names no role."""
        key, secret, token = self.keys()
        answer = {
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "Token": token,
            "Expiration": FAR,
        }
        if not name.startswith("pod"):
            role = self.roles.get(name, name)
            answer["RoleArn"] = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        return answer

    def instance(self, name: str, asked: str) -> str:
        """Answer as the endpoint of an instance: its role, or the role's keys."""
        if not asked:
            return self.roles.get(name, name)
        key, secret, token = self.keys()
        return json.dumps(
            {
                "Code": "Success",
                "AccessKeyId": key,
                "SecretAccessKey": secret,
                "Token": token,
                "Expiration": FAR,
            }
        )

    def sts(self, form: dict[str, str]) -> str:
        """Answer as AWS STS."""
        action, (key, secret, token) = form["Action"], self.keys()
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<{action}Result><Credentials><AccessKeyId>{key}</AccessKeyId>"
            f"<SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken><Expiration>{self.expiry}</Expiration>"
            f"</Credentials></{action}Result><ResponseMetadata><RequestId>r</RequestId>"
            f"</ResponseMetadata></{action}Response>"
        )

    def sso(self) -> dict[str, Any]:
        """Answer as IAM Identity Center."""
        key, secret, token = self.keys()
        keys = {"accessKeyId": key, "secretAccessKey": secret, "sessionToken": token}
        return {"roleCredentials": {**keys, "expiration": _FAR_MILLISECONDS}}

    def dynamodb(self, operation: str, body: Any, signer: str) -> dict[str, Any]:
        """Answer as DynamoDB: each item says which key asked for it."""
        self.reads += operation != "PutItem"
        of = {"S": signer}
        if operation == "PutItem":
            return {}
        if operation == "BatchGetItem":
            return {
                "Responses": {
                    table: [{**key, "of": of} for key in part["Keys"]]
                    for table, part in body["RequestItems"].items()
                },
                "UnprocessedKeys": {},
            }
        return {"Item": {**body["Key"], "of": of}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    aws: ClassVar[AWS]

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _answer(self, body: str, kind: str = "application/json") -> None:
        content = body.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", kind)
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def do_PUT(self) -> None:  # the token of an instance's endpoint
        self._answer("token", "text/plain")

    def do_GET(self) -> None:
        kind, _, rest = urlsplit(self.path).path.strip("/").partition("/")
        if kind == "container":
            self._answer(json.dumps(self.aws.container(rest)))
        elif kind == "instance":
            name, _, path = rest.partition("/")
            asked = path.partition("security-credentials")[2].strip("/")
            self._answer(self.aws.instance(name, asked), "text/plain")
        else:
            self._answer(json.dumps(self.aws.sso()))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = self.headers.get("X-Amz-Target")
        if target is None:
            form = dict(parse_qsl(body.decode()))
            self._answer(self.aws.sts(form), "text/xml")
            return
        signature = self.headers.get("Authorization", "")
        signer = signature.partition("Credential=")[2].partition("/")[0]
        answer = self.aws.dynamodb(
            target.partition(".")[2], json.loads(body), signer or "anonymous"
        )
        self._answer(json.dumps(answer), "application/x-amz-json-1.0")


@contextmanager
def running_aws() -> Iterator[AWS]:
    """Run the server for as long as the context lasts."""
    handler: Any = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        handler.aws = AWS(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield handler.aws
        finally:
            server.shutdown()
            thread.join()
