"""What the store on Redis keeps there: its keys, its words, and its scripts.

    botocache:<namespace>:1:e:<32 hex digits>          an entry
    botocache:<namespace>:1:g:{<2 digits>}<30 digits>  a tag's generation and hold-off
    botocache:<namespace>:1:h:{<2 digits>}             hold-offs of the tags with them
    botocache:<namespace>:1:runs                       primaries that were met
    botocache:<namespace>:1:runs:{<2 digits>}          the same in a cluster

Nothing else in the database is ever touched. A generation and its hold-off are one
value of 16 bytes, little endian: the generation, and a word that is twice the
microsecond until which the tag is held, plus one when it is settling. So no reader
sees one without the other.

A server may lose any key: it is full and evicts, or a key's time is over. A lost
generation harms nobody, but its hold-off goes with it. Hence hold-offs are kept a
second time, in one sorted set for each shard of the tags (256 of them, by the first
byte; keys of a shard share a slot of a cluster). A tag without a generation is looked
up there; and if the set itself is gone, for it or with it, everything in the shard
counts as settling until `doubt` has passed, for whatever was lost may have been a
write that just ended.

The scripts carry out what _coherence.py states; a test holds the two against each
other. Each of their writes to a key is a whole step, so one that is stopped in between
leaves nothing that is wrong.
"""

from collections.abc import Callable  # noqa: TC003 - as cheap as the rest
from functools import lru_cache
from hashlib import sha1
from struct import Struct
from typing import NamedTuple

from botocache._coherence import LONGEST_HOLD_OFF

VERSION = 1
"""Of all that is kept; another version has keys of its own."""

US = 1_000_000
"""Microseconds in a second."""

GENERATION = 8
"""Bytes of a generation."""

STATE = Struct("<QQ")
"""A tag's value: its generation and the word of its hold-off."""


class Keys:
    """The names of the keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix = f"botocache:{namespace}:{VERSION}:".encode()
        self.entries = self.prefix + b"e:"
        self.generations = self.prefix + b"g:"
        self.runs = self.prefix + b"runs"
        self.generation: Callable[[bytes], bytes] = lru_cache(8192)(self._generation)
        self.packed: Callable[[bytes], bytes] = lru_cache(8192)(self._packed)

    def entry(self, key: bytes) -> bytes:
        """Return where an entry is."""
        return self.entries + key.hex().encode()

    def held(self, tag: bytes) -> bytes:
        """Return where the hold-offs of the tag's shard are."""
        return b"%bh:{%b}" % (self.prefix, tag[:1].hex().encode())

    def _generation(self, tag: bytes) -> bytes:
        name = tag.hex().encode()
        return b"%b{%b}%b" % (self.generations, name[:2], name[2:])

    def _packed(self, tag: bytes) -> bytes:
        return bulk(self._generation(tag))

    def tag(self, generation: bytes) -> bytes:
        """Return the tag whose generation is there; nobody's, for a key of no tag's."""
        try:
            name = generation[len(self.generations) :].decode()
            return bytes.fromhex(name.replace("{", "").replace("}", ""))
        except ValueError:
            return b"no tag"


def bulk(text: bytes) -> bytes:
    """Return an argument as it is on the wire."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


# --- scripts -----------------------------------------------------------------------


class Script(NamedTuple):
    """A Lua script. sha: by which a server knows it."""

    source: bytes
    sha: bytes


def _script(source: str) -> Script:
    code = (_COMMON + source).encode()
    return Script(code, sha1(code, usedforsecurity=False).hexdigest().encode())


_COMMON = f"""
-- KEYS: pairs, of a tag's generation and its shard's hold-offs.
-- ARGV[1]: microseconds; empty: this server's. ARGV[2]: doubt, in microseconds.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local doubt = tonumber(ARGV[2])
local damage = {2 * LONGEST_HOLD_OFF * US:.0f}

local function is_held(moment)
  return moment > now and moment - now <= damage
end

local function exactly(number)
  return string.format('%.0f', number)
end

local function word(moment, settling)
  return moment * 2 + (settling and 1 or 0)
end

-- Makes the hold-offs of a shard anew if they are lost, and then doubts all its tags.
local function require_shard(shard)
  local count = redis.pcall('ZCARD', shard)
  if type(count) ~= 'number' or count == 0 then
    redis.call('DEL', shard)
    redis.call('ZADD', shard, '+inf', 'kept', exactly(word(now + doubt, true)), 'all')
  end
end

-- Returns until when a tag without a generation is held, and whether it is settling.
local function remembered(key, shard)
  require_shard(shard)
  local latest, settling = 0, true
  for _, member in ipairs({{key, 'all'}}) do
    local score = tonumber(redis.call('ZSCORE', shard, member) or 0)
    local moment = math.floor(score / 2)
    if is_held(moment) then
      latest = math.max(latest, moment)
      settling = settling and score % 2 == 1
    end
  end
  return latest, settling
end

-- Returns generation, hold-off and kind; the generation is false where there is none.
local function find(key, shard)
  local value = redis.pcall('GET', key)
  if type(value) == 'string' and #value == 16 then
    local held = struct.unpack('<I8', value, 9)
    return string.sub(value, 1, 8), math.floor(held / 2), held % 2 == 1
  end
  return false, remembered(key, shard)
end

local function state(generation, moment, settling)
  return generation .. struct.pack('<I8', word(moment, settling))
end

local function remember(key, shard, moment, settling)
  require_shard(shard)
  if is_held(moment) then
    redis.call('ZADD', shard, exactly(word(moment, settling)), key)
  end
  redis.call('ZREMRANGEBYSCORE', shard, 0, exactly(now * 2))
  redis.call('PEXPIRE', shard, 86400000)
end
"""

LOOK = _script("""
-- Returns the states of tags; one that has none gets the generation that is brought.
-- ARGV[3]: its life in milliseconds. ARGV[4...]: generations.
local states = {exactly(now)}
for i = 1, #KEYS, 2 do
  local generation, moment, settling = find(KEYS[i], KEYS[i + 1])
  local is_new = not generation
  generation = generation or ARGV[4 + (i - 1) / 2]
  local found = state(generation, moment, settling)
  if is_new then
    redis.call('SET', KEYS[i], found, 'PX', ARGV[3])
    redis.call('PEXPIRE', KEYS[i + 1], 86400000)
  end
  states[#states + 1] = found
end
return states
""")

EVICT = _script("""
-- next_state() of _coherence.py, for each tag. Returns what it found and what it left.
-- ARGV[3]: the hold-off, in microseconds. ARGV[4]: milliseconds that a generation
-- lives at the least. Then for each tag: a fresh generation; one for "there was none";
-- and of this write's first eviction, or empty: the generation that it left, the word
-- and the generation that it found; and whether the tag is restored.
--
-- Without ARGV[4] it is for a server that is full, and generations are only removed.
-- Hold-offs are remembered all the same, some hundred bytes for each tag until it is
-- over: a full server lets a script write that has begun with what frees memory.
local states = {exactly(now)}
local is_full = ARGV[4] == ''
for i = 1, #KEYS, 2 do
  local key, shard, at = KEYS[i], KEYS[i + 1], 5 + (i - 1) * 3
  local fresh, none, mine = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local generation, moment, settling = find(key, shard)
  local life = ARGV[4]
  if is_full then
    redis.call('DEL', key)
  elseif generation then
    life = math.max(life, redis.call('PTTL', key))
  end
  local others, others_settle = moment, settling
  local is_alone = mine ~= '' and mine == generation
  if is_alone then
    local before = tonumber(ARGV[at + 3])
    others, others_settle = math.floor(before / 2), before % 2 == 1
  end
  local left
  if is_alone and ARGV[at + 5] ~= '' and not is_full then
    left = state(ARGV[at + 4], others, others_settle)
    remember(key, shard, others, others_settle)
  else
    local is_settling = mine ~= '' and (others_settle or not is_held(others))
    if others - now > damage then
      others = 0
    end
    local held = math.max(others, now + tonumber(ARGV[3]))
    left = state(fresh, held, is_settling)
    remember(key, shard, held, is_settling)
  end
  if not is_full then
    redis.call('SET', key, left, 'PX', life)
  end
  states[#states + 1] = state(generation or none, moment, settling)
  states[#states + 1] = left
end
return states
""")

PROLONG = _script("""
-- Lets generations live for ARGV[4] milliseconds where ARGV[3] are not left.
-- Seldom, because it counts as a change for those who follow changes.
for i = 1, #KEYS, 2 do
  local left = redis.call('PTTL', KEYS[i])
  if left >= 0 and left < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[4])
  end
end
return {exactly(now)}
""")

ARRIVE = _script("""
-- A connection was made to the run ARGV[3] of a server. If nobody has met it before,
-- it may be a replica that became the primary, or have restarted from a file, and have
-- lost the last evictions: evict what KEYS[1] stands for, which is everything, in
-- favour of the generation ARGV[4]; hold-offs may be lost, too. KEYS[3]: all runs.
-- What frees memory comes first, so that a server that is full lets the rest be done.
redis.call('PEXPIRE', KEYS[3], 2592000000)
local is_new = redis.pcall('SADD', KEYS[3], ARGV[3])
if is_new ~= 0 then
  if is_new ~= 1 then
    redis.call('DEL', KEYS[3])
    redis.call('SADD', KEYS[3], ARGV[3])
  end
  redis.call('PEXPIRE', KEYS[3], 2592000000)
  local generation, moment, settling = find(KEYS[1], KEYS[2])
  settling = settling or not is_held(moment)
  moment = math.max(is_held(moment) and moment or 0, now + doubt)
  remember(KEYS[1], KEYS[2], moment, settling)
  if generation then
    local life = math.max(ARGV[5], redis.call('PTTL', KEYS[1]))
    redis.call('SET', KEYS[1], state(ARGV[4], moment, settling), 'PX', life)
  end
end
return {exactly(now)}
""")
