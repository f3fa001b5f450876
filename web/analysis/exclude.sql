-- Who was blocked for more than 5 seconds in trial-2?
--
--   sqlite3 -readonly -csv -header study.db ".param set :trial 'trial-2'" ".param set :seconds 5" ".read exclude.sql"
--
-- Times are compared in whole milliseconds.
WITH blocks AS (
  SELECT participant, ends - duration_ms AS begins, ends
  FROM (SELECT *, CAST(round(julianday(at) * 86400000) AS INTEGER) AS ends FROM events)
  WHERE from_presence = 'blocked'
),
trials AS ( -- from one save of the page's state to the next
  SELECT participant, scene, begins, lead(begins, 1, 9e18) OVER (PARTITION BY participant ORDER BY id) AS ends
  FROM (SELECT *, CAST(round(julianday(at) * 86400000) AS INTEGER) AS begins FROM events WHERE kind = 'state_saved')
)
SELECT participant, printf('%.3f', sum(max(0, min(b.ends, t.ends) - max(b.begins, t.begins))) / 1000.0) AS blocked_s
FROM trials t JOIN blocks b USING (participant)
WHERE scene = :trial
GROUP BY participant
HAVING sum(max(0, min(b.ends, t.ends) - max(b.begins, t.begins))) > :seconds * 1000
ORDER BY participant;
