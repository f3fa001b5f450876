-- Begins term ARGV[2] for ARGV[1] ms at address ARGV[3], unless somebody leads.
-- Returns nothing then, otherwise the address of who leads.
if redis.call('SET', KEYS[1] .. 'leader', ARGV[3], 'NX', 'PX', ARGV[1]) then
	redis.call('SET', KEYS[1] .. 'term', ARGV[2])
	return false
end
return redis.call('GET', KEYS[1] .. 'leader')
