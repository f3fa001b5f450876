-- Stores a batch as one step.
--   KEYS[1]  what every key begins with
--   ARGV     the term of the leader (empty: it does not lead), the batch's id and for how many ms it is remembered, retention in ms
--            (0: for ever), records to keep (0: all), the four counts, then the
--            sessions, messages, mailboxes and records, flat
local prefix, at = KEYS[1], 0

local function take()
	at = at + 1
	return ARGV[at]
end

local term = take()
if term ~= '' and redis.call('GET', prefix .. 'term') ~= term then
	return redis.error_reply('FENCED another server leads')
end
-- One that is sent again, because its answer was lost, is not stored again.
if not redis.call('SET', prefix .. 'put:' .. take(), '', 'NX', 'PX', take()) then
	return 1
end
local retention, keep = tonumber(take()), take()
local sessions, messages, mailboxes, records = tonumber(take()), tonumber(take()), tonumber(take()), tonumber(take())

local function keepFor(key)
	if retention > 0 then
		redis.call('PEXPIRE', key, retention)
	end
end

for _ = 1, sessions do
	local participant, seated, condition, text = take(), take(), take(), take()
	local key = prefix .. 'session:' .. participant
	redis.call('SET', key, text)
	keepFor(key)
	redis.call(seated == '1' and 'SADD' or 'SREM', prefix .. 'seated', participant)
	if condition ~= '' then
		redis.call('HSET', prefix .. 'conditions', participant, condition)
		keepFor(prefix .. 'conditions')
	else
		redis.call('HDEL', prefix .. 'conditions', participant)
	end
end

-- mail:P has a message for each seq; latest:P says where the one of a sender
-- and key is.
for _ = 1, messages do
	local to, seq, slot, text = take(), take(), take(), take()
	local mail, latest = prefix .. 'mail:' .. to, prefix .. 'latest:' .. to
	if slot ~= '' then
		local before = redis.call('HGET', latest, slot)
		if before then
			redis.call('HDEL', mail, before)
		end
		redis.call('HSET', latest, slot, seq)
		keepFor(latest)
	end
	redis.call('HSET', mail, seq, text)
	keepFor(mail)
end

-- Numbers are compared as text: a script's own lose digits above 2^53.
local function notAfter(a, b)
	return #a < #b or #a == #b and a <= b
end

for _ = 1, mailboxes do
	local participant, received, text = take(), take(), take()
	local key, mail, latest = prefix .. 'mailbox:' .. participant, prefix .. 'mail:' .. participant, prefix .. 'latest:' .. participant
	redis.call('SET', key, text)
	keepFor(key)
	for _, seq in ipairs(redis.call('HKEYS', mail)) do
		if notAfter(seq, received) then
			redis.call('HDEL', mail, seq)
		end
	end
	local slots = redis.call('HGETALL', latest)
	for i = 1, #slots, 2 do
		if notAfter(slots[i + 1], received) then
			redis.call('HDEL', latest, slots[i])
		end
	end
end

-- Records of a batch of which the leader did not learn that it was stored come
-- again, with later ones. A leader's have one run, and their seq grows.
local before = redis.call('HMGET', prefix .. 'log:at', 'run', 'seq')
for _ = 1, records do
	local run, seq, row = take(), take(), take()
	if term == '' or run == '' or run ~= before[1] or tonumber(seq) > tonumber(before[2]) then
		redis.call('XADD', prefix .. 'log', redis.call('INCR', prefix .. 'log:last') .. '-0', 'row', row)
		if term ~= '' and run ~= '' then
			redis.call('HSET', prefix .. 'log:at', 'run', run, 'seq', seq)
		end
	end
end
if records > 0 and keep ~= '0' then
	redis.call('XTRIM', prefix .. 'log', 'MAXLEN', '~', keep)
end
return 1
