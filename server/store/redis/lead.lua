-- Begins term ARGV[2] for ARGV[1] ms, unless somebody leads. Returns whether.
if not redis.call('SET', KEYS[1] .. 'leader', '', 'NX', 'PX', ARGV[1]) then
	return 0
end
redis.call('SET', KEYS[1] .. 'term', ARGV[2])
return 1
