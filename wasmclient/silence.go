package wasmclient

import "time"

const (
	// afterBlock is how long the server may be silent once a block is over. It
	// is asked at once and has nothing to wait for; and who was away meanwhile
	// is waited for by partners.
	afterBlock = 4 * time.Second
	// silenceLook is a last look before a connection is given up for silence,
	// since what has arrived may not have been read yet.
	silenceLook = time.Second
)

// silence judges a connection by when something was heard on it, and nobody
// else: in a browser the server's silence may be the page's own block, in which
// nothing is read and no timer fires. It is pure.
type silence struct {
	limit  time.Duration // how long the server may be silent
	every  time.Duration // how often tick should be called
	ticked time.Time

	thawed struct {
		at   time.Time // when a block ended
		ping uint64    // the first ping that was due then; 0: there was no block
	}
	look struct {
		began time.Time
		heard time.Time // last, before it
	}
}

// tick is called whenever a ping is due, with its number, and reports whether
// it comes so late that the page was blocked: the deadline is another one then.
func (s *silence) tick(now time.Time, ping uint64) (thawed bool) {
	thawed = now.Sub(s.ticked) > s.every+afterBlock
	if thawed {
		s.thawed.at, s.thawed.ping = now, ping
	}
	s.ticked = now
	return thawed
}

// deadline is until when something must be heard, if it was heard last at a
// time and the last ping that was answered is back.
func (s *silence) deadline(heard time.Time, back uint64) time.Time {
	// What is heard right behind a block had come during it.
	if back >= s.thawed.ping || heard.After(s.thawed.at.Add(silenceLook)) {
		return heard.Add(s.limit)
	}
	return s.thawed.at.Add(afterBlock)
}

// judge says in how long to look again; 0: the connection is dead.
func (s *silence) judge(now, heard time.Time, back uint64) time.Duration {
	if by := s.deadline(heard, back); now.Before(by) {
		return by.Sub(now)
	}
	if heard == s.look.heard && now.Sub(s.look.began) < 2*silenceLook { // and not blocked again meanwhile
		return 0
	}
	s.look.began, s.look.heard = now, heard
	return silenceLook
}
