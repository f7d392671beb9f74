"""An object store and a database, each in a pod of its own: what steps use that keep nothing on a volume."""

from __future__ import annotations

import json
from pathlib import Path

from s3_server import BUCKET

TESTS = Path(__file__).resolve().parents[1]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "the-key", "AWS_SECRET_ACCESS_KEY": "open-sesame-of-the-store"}
USER, PASSWORD = "longshore", "open-sesame-of-the-database"
S3_PORT, DATABASE_PORT = 9000, 5432
DATABASE = """
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin)
cd "$(mktemp -d)"
echo "$PASSWORD" > password
$bin/initdb --pgdata=data --username="$USER" --pwfile=password --auth=scram-sha-256 --no-sync --locale=C.UTF-8
echo "host all all all scram-sha-256" >> data/pg_hba.conf
exec $bin/postgres -D data -c listen_addresses=* -c unix_socket_directories="$PWD" -c fsync=off
"""
# A command for the store's own pod: objects by name in and out, as JSON.
PUT = """
import boto3, json, sys
store = boto3.client("s3", endpoint_url=sys.argv[1])
for name, text in json.load(sys.stdin).items():
    store.put_object(Bucket=sys.argv[2], Key=name, Body=text.encode())
"""
GET = """
import boto3, json, sys
bucket = boto3.resource("s3", endpoint_url=sys.argv[1]).Bucket(sys.argv[2])
found = bucket.objects.filter(Prefix=sys.argv[3])
json.dump({each.key: each.get()["Body"].read().decode() for each in found}, sys.stdout)
"""


class ObjectStore:
    """A store that speaks S3, and the Secret `key` that leads to it."""

    def __init__(self, kubectl, image):
        self.kubectl = kubectl
        kubectl("create", "configmap", "s3", f"--from-file={TESTS / 's3_server.py'}")
        command = ["python", "/server/s3_server.py", str(S3_PORT)]
        mount = {"name": "server", "mountPath": "/server"}
        volume = {"name": "server", "configMap": {"name": "s3"}}
        container = {"command": command, "env": _variables(**CREDENTIALS), "volumeMounts": [mount]}
        serve(kubectl, "s3", image, S3_PORT, container, volumes=[volume])
        address = kubectl.get("service", "s3")["spec"]["clusterIP"]  # it would take a name for that of a bucket
        url = f"http://{address}:{S3_PORT}"
        literals = [f"--from-literal={name}={value}" for name, value in CREDENTIALS.items()]
        kubectl("create", "secret", "generic", "key", *literals, f"--from-literal=AWS_ENDPOINT_URL={url}")

    def put(self, objects):
        """Write texts by their names."""
        self._python(PUT, stdin=json.dumps(objects))

    def get(self, prefix):
        """Return texts by their names."""
        return json.loads(self._python(GET, prefix))

    def _python(self, program, *arguments, stdin=""):
        url = f"http://127.0.0.1:{S3_PORT}"
        command = ("exec", "--stdin", "s3", "--", "python", "-c", program, url, BUCKET, *arguments)
        return self.kubectl(*command, stdin=stdin)


class Database:
    """A PostgreSQL, and the Secret `login` of its user."""

    def __init__(self, kubectl, image):
        self.kubectl = kubectl
        container = {
            "command": ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "sh", "-c", DATABASE],
            "env": _variables(USER=USER, PASSWORD=PASSWORD, PGPASSWORD=PASSWORD),
        }
        serve(kubectl, "database", image, DATABASE_PORT, container)
        self.uri = f"postgresql://database.{kubectl.namespace}.svc:{DATABASE_PORT}/postgres"
        literals = [f"LONGSHORE_SQL_USER={USER}", f"LONGSHORE_SQL_PASSWORD={PASSWORD}"]
        kubectl("create", "secret", "generic", "login", *(f"--from-literal={each}" for each in literals))

    def execute(self, statement):
        """Carry a statement out."""
        psql = ["psql", "--host=127.0.0.1", f"--username={USER}", "--dbname=postgres", f"--command={statement}"]
        self.kubectl("exec", "database", "--", *psql)


def _variables(**values):
    return [{"name": name, "value": value} for name, value in values.items()]


def serve(kubectl, name, image, port, container, **spec):
    """Have a pod and its Service of the same name, and wait until it answers."""
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    container = {"name": name, "image": image, "imagePullPolicy": "Never", "readinessProbe": probe, **container}
    metadata = {"name": name, "labels": {"app": name}}
    pod = {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1, **spec}
    service = {"selector": {"app": name}, "ports": [{"port": port}]}
    items = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]
    kubectl("create", "--filename=-", stdin={"apiVersion": "v1", "kind": "List", "items": items})
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", patience=90.0)
