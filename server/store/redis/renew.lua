-- Lets term ARGV[1] last ARGV[2] ms from now, at address ARGV[3]; 0 ends it.
if redis.call('GET', KEYS[1] .. 'term') ~= ARGV[1] then
	return redis.error_reply('FENCED another server leads')
end
if ARGV[2] == '0' then
	redis.call('DEL', KEYS[1] .. 'leader')
else
	redis.call('SET', KEYS[1] .. 'leader', ARGV[3], 'PX', ARGV[2])
end
return 1
