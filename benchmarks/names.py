"""How contenders are called, in tables, in the JSON and in targets. Nothing else."""

HANDLER = "do-nothing before-call handler"
"""The floor of every design that hooks botocore's events."""

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
FOLLOWED = "redis, invalidations followed"
NEAR_OFF = "memory, near off"
AHEAD = "{}, asked ahead"

FEW = "few entries"
MANY = "many entries, {}"
SAME_ASKED = "as few of them asked for"
ALL_ASKED = "all of them asked for"

WITHOUT = "without botocache"
WITHOUT_AGAIN = "without botocache, again"
TOGGLE_UNSET = "with it, toggle unset"
TOGGLE_SET = "with it, BOTOCACHE=1"

IMPORT_BOTO3 = "import boto3"
IMPORT_OURS = "import botocache"
INSTALL = "import boto3, and botocache.install()"
