"""What runs inside Redis, each script whole or not at all: two replicas never see half of what the other did.

Keys begin with a prefix P of the model (`packing.prefix`), then a letter; ids are eight raw bytes, never text of a
sender:

    p ID     a prediction. R entries: it waits; C … entries: a label took it, until that is checkpointed; T: the same,
             by a label that came before it, whose truth is held here too; M …: labelled
    r ID     of a request: the ids of its predictions
    e ID     a label without a prediction: W it waits, M it met one, r or c one that was labelled: repeated, changed
    h HASH   what an entry's columns and places stand for, as JSON
    s SLOT   a 32nd of the time a label may take: n predictions, j of them labelled, b bytes, e and k exponents of the
             sample, now and at its start
    w        of the whole model: predictions n:WINDOW and labels j:WINDOW, output, born
    q, Q     how many labels of one span wait (q) or stay for a request's other versions (Q)

An entry is u2 length │ u1 exponent of the sample │ u2 slot │ u4 window │ 8 bytes HASH, of which two are the version's │
columns. A claim is the label's digest (4 bytes) │ its token (8) │ who took it (8). Numbers are little-endian.
"""

from __future__ import annotations

_COMMON = """
local P, ME, SLOT = ARGV[1], ARGV[2], tonumber(ARGV[3])
local sub, byte, call = string.sub, string.byte, redis.call
local function u2(s, o) local a, b = byte(s, o, o + 1) return a + b * 256 end
local function u4(s, o) return u2(s, o) + u2(s, o + 2) * 65536 end
local function say2(n) return string.char(n % 256, math.floor(n / 256)) end
local slots, windows, total = {}, {}, 0
local function count(entries)
  local o = 1
  while o < #entries do
    local share, slot, window = 2 ^ byte(entries, o + 2), u2(entries, o + 3), u4(entries, o + 5)
    slots[slot] = (slots[slot] or 0) + 1
    windows[window] = (windows[window] or 0) + share
    total = total + share
    o = o + 2 + u2(entries, o)
  end
end
local function told(name)
  for slot, n in pairs(slots) do
    local back = (SLOT - slot) % 65536
    if back > 60000 then back = back - 65536 end
    local key = P .. 's' .. string.format('%.0f', SLOT - back)
    if name == 'n' or call('EXISTS', key) == 1 then call('HINCRBY', key, name, n) end
  end
  local room = 4096 - call('HLEN', P .. 'w')  -- a hostile sender may name any time
  for window, n in pairs(windows) do
    room = room - 1
    if room < 0 then break end
    call('HINCRBY', P .. 'w', name .. ':' .. string.format('%.0f', window), string.format('%.0f', n))
  end
  if total > 0 then call('HINCRBY', P .. 'w', name, string.format('%.0f', total)) end
end
"""

# ARGV 4 seconds a row stays, 5 now (s), 6 room of the slot, 7 exponent the slot begins with, 8 bytes a row costs beside
# its value, 9 size of a record, 10 output, 11 records, then pairs: hash, JSON. A record is id │ request or zeros │
# entry without its length. Returns the slot's exponent, then id .. value of those that a label waited for.
WRITE = (
    _COMMON
    + """
local ttl, now, room, start = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local beside, size, blob = tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[11]
local none, length, bytes, made, found = string.rep('\\0', 8), say2(size - 16), 0, 0, {}
local fresh = {}
for i = 12, #ARGV, 2 do
  if call('SET', P .. 'h' .. ARGV[i], ARGV[i + 1], 'EX', ttl, 'NX') then
    bytes = bytes + beside + #ARGV[i + 1]
  else
    call('EXPIRE', P .. 'h' .. ARGV[i], ttl)
  end
end
local function has(entries, version)
  local o, several = 1, 0
  while o < #entries do
    if sub(entries, o + 9, o + 10) == version then return true end
    o, several = o + 2 + u2(entries, o), several + 1
  end
  return several >= 32
end
local function meet(key, entries, other)
  local early = call('GET', P .. 'e' .. other)
  if not early or u4(early, 3) < now or (sub(early, 1, 1) ~= 'W' and byte(early, 2) == 0) then return nil end
  local truth = sub(early, 15)
  local value = 'T' .. sub(early, 15, 18) .. sub(early, 7, 14) .. ME .. say2(#truth) .. truth .. entries
  call('SET', key, value, 'KEEPTTL')
  if sub(early, 1, 1) == 'W' then call('SETRANGE', P .. 'e' .. other, 0, 'M') end
  fresh[#fresh + 1] = entries
  return value
end
local function again(value, other)
  local early = call('GET', P .. 'e' .. other)
  if early and sub(early, 1, 1) == 'W' and u4(early, 3) >= now then
    call('SETRANGE', P .. 'e' .. other, 0, sub(early, 15, 18) == sub(value, 2, 5) and 'r' or 'c')
  end
end
local function link(request, id)
  local known, at = call('GET', P .. 'r' .. request) or '', 1
  while at < #known do
    if sub(known, at, at + 7) == id then return end
    at = at + 8
  end
  if #known < 256 then
    call('SET', P .. 'r' .. request, known .. id, 'EX', ttl)
    bytes = bytes + beside + 8
  end
end
for o = 1, #blob, size do
  local id, request = sub(blob, o, o + 7), sub(blob, o + 8, o + 15)
  local key, entry = P .. 'p' .. id, length .. sub(blob, o + 16, o + size - 1)
  local held, waits = false, true
  if not call('SET', key, 'R' .. entry, 'EX', ttl, 'NX') then
    held = call('GET', key)
    waits = byte(held, 1) == 82 and not has(sub(held, 2), sub(entry, 10, 11))
    if waits then call('SET', key, held .. entry, 'KEEPTTL') end
    if byte(held, 1) == 84 and sub(held, 14, 21) == ME then found[#found + 1] = id .. held end
    if byte(held, 1) ~= 82 and request ~= none then again(held, request) end
  end
  if waits then
    count(entry)
    made, bytes = made + 1, bytes + beside + #entry
    local entries = held and sub(held, 2) .. entry or entry
    local value = meet(key, entries, id)
    if value and request ~= none then again(value, request) end
    if not value and request ~= none then value = meet(key, entry, request) end
    if value then found[#found + 1] = id .. value end
  end
  if request ~= none then link(request, id) end
end
told('n')
slots, windows, total = {}, {}, 0
for _, entries in ipairs(fresh) do count(entries) end
told('j')
local slot = P .. 's' .. ARGV[3]
call('HSETNX', slot, 'k', start)
local used, first = call('HINCRBY', slot, 'b', bytes), tonumber(call('HGET', slot, 'k'))
local share = tonumber(call('HGET', slot, 'e') or first)
if share < 24 and used > room * (1 - 2 ^ (first - share - 1)) then share = share + 1 end
call('HSET', slot, 'e', share)
call('EXPIRE', slot, math.floor(ttl * 1.25) + 60)
if ARGV[10] ~= '' then call('HSETNX', P .. 'w', 'output', ARGV[10]) end
call('EXPIRE', P .. 'w', math.floor(ttl * 1.25) + 60)
return {share, unpack(found)}
"""
)

# ARGV 4 now (s), 5 seconds a label may wait, 6 how many may, 7 records, then texts of classes.
# A record of 47 bytes is key │ u1 flags (1 by request, 2 not in the sample) │ token │ u4 deadline │ digest │ f8 value │
# i8 time │ f4 weight │ u2 class. Returns a letter for each: j joined (again), J joined and done with, E met a
# prediction that came later, r repeated, c changed, w waits, n not in the sample, u no room; then what was joined:
# u4 place │ id │ u2 length, and the entries one after another without their lengths.
LABEL = (
    _COMMON
    + """
local now, early_s, room, blob = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local codes, heads, bodies, fresh = {}, {}, {}, {}
local function four(n) return say2(n % 65536) .. say2(math.floor(n / 65536)) end
local function give(place, id, entries)
  local o = 1
  while o < #entries do
    local n = u2(entries, o)
    heads[#heads + 1] = four(place) .. id .. say2(n)
    bodies[#bodies + 1] = sub(entries, o + 2, o + 1 + n)
    o = o + 2 + n
  end
end
local function again(held, digest, at)
  return sub(held, at, at + 3) == digest and 'r' or 'c'
end
local function take(place, id, token, digest)
  local held = call('GET', P .. 'p' .. id)
  if not held then return nil end
  local form = sub(held, 1, 1)
  if form == 'R' then
    local entries = sub(held, 2)
    call('SET', P .. 'p' .. id, 'C' .. digest .. token .. ME .. entries, 'KEEPTTL')
    fresh[#fresh + 1] = entries
    give(place, id, entries)
    return 'j'
  end
  if sub(held, 6, 13) ~= token then return again(held, digest, 2) end
  if form == 'C' then
    if sub(held, 14, 21) == ME then give(place, id, sub(held, 22)) end
    return 'j'
  end
  return (form == 'T' or sub(held, 14, 14) == 'T') and 'E' or 'J'
end
local function wait(record, state)
  local key, by, token = P .. 'e' .. sub(record, 1, 8), byte(record, 9) % 2, sub(record, 10, 17)
  local deadline = u4(record, 18)
  local held = call('GET', key)
  if held and sub(held, 7, 14) == token then
    return ({M = 'E', W = 'w'})[sub(held, 1, 1)] or sub(held, 1, 1)
  end
  if held and (u4(held, 3) >= now or sub(held, 1, 1) ~= 'W') then return again(held, sub(record, 22, 25), 15) end
  if state == 'W' and byte(record, 9) >= 2 then return 'n' end
  if deadline < now then return 'u' end
  local counter = P .. (state == 'W' and 'q' or 'Q') .. math.floor(now / math.max(early_s, 1))
  local waiting = call('INCR', counter)
  if waiting == 1 then call('EXPIRE', counter, early_s * 2 + 60) end
  if waiting > room then return 'u' end
  local class = ARGV[7 + u2(record, 46)]
  local value = state .. string.char(by) .. sub(record, 18, 21) .. token .. sub(record, 22, 45)
  call('SET', key, value .. (u2(record, 46) > 0 and class or ''), 'EX', deadline - now + early_s + 60)
  return 'w'
end
for o = 1, #blob, 47 do
  local record = sub(blob, o, o + 46)
  local place, key, token, digest = (o - 1) / 47, sub(record, 1, 8), sub(record, 10, 17), sub(record, 22, 25)
  local code
  if byte(record, 9) % 2 == 0 then
    code = take(place, key, token, digest) or wait(record, 'W')
  else
    local ids, rank = call('GET', P .. 'r' .. key) or '', {j = 4, E = 3, J = 2}
    for at = 1, #ids, 8 do
      local one = take(place, sub(ids, at, at + 7), token, digest)
      if one and (not code or (rank[one] or 1) > (rank[code] or 1)) then code = one end
    end
    local waits = wait(record, code and 'M' or 'W')
    code = code or waits
  end
  codes[#codes + 1] = code
end
for _, entries in ipairs(fresh) do count(entries) end
told('j')
return {table.concat(codes), table.concat(heads), table.concat(bodies)}
"""
)

# ARGV 4 ids whose claim is checkpointed: what is left of them is a mark.
DONE = (
    _COMMON
    + """
for o = 1, #ARGV[4], 8 do
  local key = P .. 'p' .. sub(ARGV[4], o, o + 7)
  local held = call('GET', key)
  local form = held and sub(held, 1, 1)
  if (form == 'C' or form == 'T') and sub(held, 14, 21) == ME then
    call('SET', key, 'M' .. sub(held, 2, 13) .. (form == 'T' and 'T' or 'D'), 'KEEPTTL')
  end
end
return 1
"""
)

# ARGV 4 records of 17 bytes: key │ token │ 1 where it waited long enough. Returns a letter for each: M, r, c as
# above, w it waits, u it waited in vain and is gone, x it is not there.
ASK = (
    _COMMON
    + """
local codes = {}
for o = 1, #ARGV[4], 17 do
  local key = P .. 'e' .. sub(ARGV[4], o, o + 7)
  local held = call('GET', key)
  if not held or sub(held, 7, 14) ~= sub(ARGV[4], o + 8, o + 15) then
    codes[#codes + 1] = 'x'
  elseif sub(held, 1, 1) ~= 'W' then
    codes[#codes + 1] = sub(held, 1, 1)
  elseif byte(ARGV[4], o + 16) == 1 then
    call('DEL', key)
    codes[#codes + 1] = 'u'
  else
    codes[#codes + 1] = 'w'
  end
end
return table.concat(codes)
"""
)

# ARGV 4 the oldest slot whose predictions still wait, 5 a new random text, 6 seconds, 7 the model's name. What older
# slots have left over got no label: told once, to whoever asks first. Returns never, n, j, b, the largest exponent, the
# current slot's (-1 none), then the hash of the whole model.
STATE = (
    _COMMON
    + """
local oldest, never, n, j, b, most, current = tonumber(ARGV[4]), 0, 0, 0, 0, 0, -1
for slot = oldest - 8, SLOT do
  local key = P .. 's' .. string.format('%.0f', slot)
  local own = call('HMGET', key, 'n', 'j', 'b', 'e')
  local predictions, labelled = tonumber(own[1] or 0), tonumber(own[2] or 0)
  if slot < oldest then
    if own[1] then
      never = never + predictions - labelled
      call('DEL', key)
    end
  else
    n, j, b = n + predictions, j + labelled, b + tonumber(own[3] or 0)
    most = math.max(most, tonumber(own[4] or 0))
    if own[4] then current = tonumber(own[4]) end
  end
end
call('HSETNX', P .. 'w', 'born', ARGV[5])
call('EXPIRE', P .. 'w', ARGV[6])
call('SET', P .. 'n', ARGV[7], 'EX', ARGV[6])
return {never, n, j, b, most, current, call('HGETALL', P .. 'w')}
"""
)
