-- Begins a term of ARGV[1] ms, unless somebody leads. Returns its number, or 0.
if not redis.call('SET', KEYS[1] .. 'leader', '', 'NX', 'PX', ARGV[1]) then
	return 0
end
return redis.call('INCR', KEYS[1] .. 'term')
