-- A mailbox and what is in it, as they belong together: the mailbox, or an
-- empty text, and then for each message its seq and its text.
local all = { redis.call('GET', KEYS[1]) or '' }
for _, part in ipairs(redis.call('HGETALL', KEYS[2])) do
	all[#all + 1] = part
end
return all
