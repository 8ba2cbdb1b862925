"""The names of contenders, shared by tables, JSON and targets."""

HANDLER = "do-nothing before-call handler"
"""A `before-call` handler that only answers: the floor of designs that use hooks."""

AT_ONCE = "uncached, transport answers at once"
MOTO = "uncached, moto's server"
RIVAL = "botocache 0.0.6"
BY_HAND_REDIS = "json.loads(redis.get(key))"
BY_HAND_TTL = "cachetools.TTLCache and copy.deepcopy"
LIMIT = "dict look-up and decoding the same bytes"
MGET = "redis-py, MGET of as many keys"

MEMORY = "memory"
DISK = "disk"
REDIS = "redis"
TRACKING = "redis, client tracking"
NEAR_OFF = "memory, near off"
EARLY = "{}, looked up early"

BOTOCORE = "a client of botocore"
AIOBOTOCORE = "a client of aiobotocore"

FEW = "few entries"
MANY = "many entries, {}"
SAME_READ = "as few of them read"
ALL_READ = "all of them read"
ALL_REMEMBERED = "all of them read, and remembered"

WITHOUT = "without botocache"
WITHOUT_AGAIN = "without botocache, again"
TOGGLE_UNSET = "with it, toggle unset"
TOGGLE_SET = "with it, BOTOCACHE=1"

IMPORT_BOTO3 = "import boto3"
IMPORT_OURS = "import botocache"
INSTALL = "import boto3, and botocache.install()"

OFF = "everything off"
ON = "everything on"
